"""What the link page says: a session's row turned into plain words. Pure: the clock and the workers' health are passed in."""

from dataclasses import replace
from datetime import datetime

from sessions_app.admin import link_words as words
from sessions_app.admin.link_words import LinkView, Phase
from sessions_app.admin.words import QUARANTINED, pretty_phone
from sessions_app.models import Session
from sessions_app.services import qr_codes


def link_view(session: Session, *, worker_alive: bool, now: datetime) -> LinkView:
    if session.linked_at is not None:
        return _linked(session, worker_alive)
    if session.state == Session.State.CONNECTING:
        return LinkView(
            Phase.CONNECTING, "busy", "Scanned. Connecting…", "The phone has accepted. This takes a few seconds; keep it online."
        )
    if session.state == Session.State.BLOCKED:
        return _blocked(session)
    if session.link_until is None or session.link_until <= now:
        return _closed(session)
    return _open(session, worker_alive, now)


def _open(session: Session, worker_alive: bool, now: datetime) -> LinkView:
    if not worker_alive:
        return words.NO_WORKER
    if session.state == Session.State.LINKING and session.link_phone and session.pairing_code:
        return replace(words.CODE, code=spaced_code(session.pairing_code), expires_at=_code_expiry(session, now))
    if session.state == Session.State.LINKING and (expires := qr_codes.shown_until(session)) and expires > now:
        return replace(words.QR, qr=session.qr, expires_at=expires)
    text = "A worker takes the session and asks WhatsApp for a code. This takes a few seconds."
    if session.owner_id is not None:
        text = "WhatsApp has been asked for a code. It appears here by itself."
    return replace(words.WAITING, text=text)


def _blocked(session: Session) -> LinkView:
    general = words.QUARANTINED if session.state_reason == QUARANTINED else words.BLOCKED
    return replace(general, text=session.state_detail or general.text)


def _closed(session: Session) -> LinkView:
    if session.state_reason == QUARANTINED:
        return _blocked(session)
    if session.state_reason == "passkey_required":
        return words.PASSKEY
    if session.state == Session.State.LOGGED_OUT:
        return words.LOGGED_OUT
    if session.state_reason == "link_expired" or session.link_until is not None:
        return words.EXPIRED
    return words.IDLE


def _linked(session: Session, worker_alive: bool) -> LinkView:
    number = pretty_phone(session.phone) if session.phone else "this number"
    if session.desired == Session.Desired.UNLINKED:
        return LinkView(Phase.LEAVING, "busy", "Logging out…", f"WhatsApp is being told to remove this device from {number}.")
    if session.state == Session.State.CONNECTED:
        return LinkView(Phase.LINKED, "good", f"Linked with {number}", "Messages can be sent. You can close this page.")
    if session.state == Session.State.BLOCKED:
        return replace(_blocked(session), can_start=False)
    if session.state == Session.State.STOPPED:
        return LinkView(
            Phase.STOPPED,
            "calm",
            f"Linked with {number}, kept offline",
            "Start the session again to connect it. No new code is needed.",
        )
    if not worker_alive:
        return replace(words.NO_WORKER, title=f"Linked with {number}, not connected", can_stop=False)
    return LinkView(
        Phase.CONNECTING,
        "busy",
        f"Linked with {number}. Connecting…",
        session.state_detail or "The connection is being made; this takes a few seconds.",
    )


def _code_expiry(session: Session, now: datetime) -> datetime | None:
    return session.qr_expires_at if session.qr_expires_at and session.qr_expires_at > now else None


def spaced_code(code: str) -> str:
    """WhatsApp shows and asks for its eight characters as XXXX-XXXX."""
    bare = code.replace("-", "")
    return f"{bare[:4]}-{bare[4:]}" if len(bare) == 8 else code
