"""The demonstration: who is in it, and how its first number gets linked, by the same way a person would take."""

import time
from dataclasses import dataclass

from restaurant_wa.local.virtual_phones import Refused, VirtualPhones
from sessions_app.models import Session
from sessions_app.services import sessions

LINK_TIMEOUT_S = 90.0
POLL_S = 0.1


@dataclass(frozen=True)
class Place:
    restaurant: str
    session: str
    number: str


# Numbers set aside for films, which belong to nobody.
LINKED = Place("Trattoria Bella", "Orders", "+491713920010")
BY_HAND = Place("Sushi Nami", "Orders", "+491713920011")
PLACES = (LINKED, BY_HAND)
LIVE = Place("My restaurant", "Orders", "")
CUSTOMERS = (("+4917604069001", "Anna"), ("+4917604069002", "Ben"), ("+4917604069003", "Chloé"))


def link(session: Session, *, number: str, phones: VirtualPhones, timeout: float = LINK_TIMEOUT_S) -> None:
    """Ask for a QR code, let the virtual phone scan it, wait until the session is connected. A session that a person has logged
    out or stopped stays so. Raises TimeoutError, Refused, OSError.
    """
    session.refresh_from_db()
    if session.desired != Session.Desired.ONLINE or session.state == Session.State.LOGGED_OUT:
        return
    if session.linked_at is None:
        sessions.link(session=session, actor="demonstration")
    scanned, deadline = "", time.monotonic() + timeout
    while session.state != Session.State.CONNECTED:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the session is still {session.state} after {timeout:.0f} s. {session.state_detail}".strip())
        if session.qr and session.qr != scanned:
            scanned = _scan(session.qr, number, phones)
        time.sleep(POLL_S)
        session.refresh_from_db()


def _scan(qr: str, number: str, phones: VirtualPhones) -> str:
    try:
        phones.scan(number, qr)
    except Refused as refused:
        if refused.code not in {"qr_expired", "qr_unknown"}:  # the next code is on its way
            raise
    return qr
