"""The QR code that a session shows while it waits to be linked."""

import base64
import io
from datetime import datetime, timedelta

import qrcode
from django.utils import timezone

from sessions_app.api.problems import ProblemError
from sessions_app.api.session_schemas import QrOut
from sessions_app.models import Session

LONGEST = timedelta(minutes=5)
RETRY_S = 2


def shown(session: Session) -> QrOut:
    """Raises ProblemError 404 while none is shown."""
    if not is_shown(session):
        raise ProblemError(404, "no_qr", _why_none(session), headers={"Retry-After": str(RETRY_S)})
    image = base64.b64encode(png(session.qr)).decode()
    generated_at = session.qr_generated_at or session.updated_at
    return QrOut(
        qr=session.qr, image=image, generated_at=generated_at, expires_at=_expires_at(generated_at, session.qr_expires_at)
    )


def png(text: str) -> bytes:
    drawn = io.BytesIO()
    qrcode.make(text, error_correction=qrcode.constants.ERROR_CORRECT_L, box_size=8).save(drawn, "PNG")
    return drawn.getvalue()


def is_shown(session: Session) -> bool:
    if not session.qr or session.qr_generated_at is None:
        return False
    return _expires_at(session.qr_generated_at, session.qr_expires_at) > timezone.now()


def _expires_at(generated_at: datetime, expires_at: datetime | None) -> datetime:
    latest = generated_at + LONGEST
    return min(expires_at or latest, latest)


def _why_none(session: Session) -> str:
    if session.linked_at is not None:
        return "This session is linked; there is no QR code to scan."
    if session.link_until is None or session.link_until <= timezone.now():
        return "Nobody is linking this session: ask for a code with POST …/link first."
    return "The QR code is not there yet; ask again in a moment."
