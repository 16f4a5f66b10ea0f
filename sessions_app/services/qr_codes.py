"""The QR code that a session shows while it waits to be linked: whether it is shown, until when, and as a picture."""

import io
from datetime import datetime, timedelta

import qrcode
from django.utils import timezone

from sessions_app.models import Session

LONGEST = timedelta(minutes=5)  # however long WhatsApp says that it is valid


def is_shown(session: Session) -> bool:
    if not session.qr or session.qr_generated_at is None:
        return False
    return expires_at(session.qr_generated_at, session.qr_expires_at) > timezone.now()


def expires_at(generated_at: datetime, said: datetime | None) -> datetime:
    latest = generated_at + LONGEST
    return min(said or latest, latest)


def png(text: str) -> bytes:
    drawn = io.BytesIO()
    qrcode.make(text, error_correction=qrcode.constants.ERROR_CORRECT_L, box_size=8).save(drawn, "PNG")
    return drawn.getvalue()
