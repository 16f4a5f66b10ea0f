"""The QR code of a session as the API answers it, or why there is none."""

import base64

from django.utils import timezone

from sessions_app.api.problems import ProblemError
from sessions_app.api.session_schemas import QrOut
from sessions_app.models import Session
from sessions_app.services import qr_codes

RETRY_S = 2


def shown(session: Session) -> QrOut:
    """Raises ProblemError 404 while none is shown."""
    until, made_at = qr_codes.shown_until(session), session.qr_generated_at
    if until is None or made_at is None or until <= timezone.now():
        raise ProblemError(404, "no_qr", _why_none(session), headers={"Retry-After": str(RETRY_S)})
    image = base64.b64encode(qr_codes.png(session.qr)).decode()
    return QrOut(qr=session.qr, image=image, generated_at=made_at, expires_at=until)


def _why_none(session: Session) -> str:
    if session.linked_at is not None:
        return "This session is linked; there is no QR code to scan."
    if session.link_until is None or session.link_until <= timezone.now():
        return "Nobody is linking this session: ask for a code with POST …/link first."
    return "The QR code is not there yet; ask again in a moment."
