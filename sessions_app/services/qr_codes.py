"""The QR code that a session shows while it waits to be linked: whether it is shown, until when, and as a picture."""

import io
from datetime import datetime, timedelta

import qrcode
from django.utils import timezone

from sessions_app.models import Session

LONGEST = timedelta(minutes=5)  # however long WhatsApp says that it is valid


def is_shown(session: Session) -> bool:
    until = shown_until(session)
    return until is not None and until > timezone.now()


def shown_until(session: Session) -> datetime | None:
    """None without a code."""
    if not session.qr or session.qr_generated_at is None:
        return None
    latest = session.qr_generated_at + LONGEST
    return min(session.qr_expires_at or latest, latest)


def png(text: str) -> bytes:
    drawn = io.BytesIO()
    qrcode.make(text, error_correction=qrcode.constants.ERROR_CORRECT_L, box_size=8).save(drawn, "PNG")
    return drawn.getvalue()
