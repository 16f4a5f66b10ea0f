"""Sessions as the API shows and takes them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from sessions_app.api.fields import VISIBLE, Answer, Body, PhoneText
from sessions_app.models import Session


class SessionIn(Body):
    name: Annotated[str, Field(min_length=1, max_length=80, pattern=VISIBLE)]


class LinkByQr(Body):
    method: Literal["qr"]


class LinkByCode(Body):
    method: Literal["code"]
    phone: PhoneText
    """The number to be linked."""


LINK_METHODS = ("qr", "code")
LinkIn = Annotated[LinkByQr | LinkByCode, Field(discriminator="method")]


class SessionOut(Answer):
    id: UUID
    name: str
    state: Session.State
    state_reason: str
    """A stable code; empty when there is nothing to say."""
    state_detail: str
    """The same in plain words, for people."""
    state_changed_at: datetime | None
    desired: Session.Desired
    linked: bool
    phone: str
    """E.164 of the linked number; empty while none is linked."""
    push_name: str
    linked_at: datetime | None
    connected_at: datetime | None
    retry_at: datetime | None
    link_until: datetime | None
    """Linking is under way until then."""
    created_at: datetime


class SessionPage(Answer):
    items: list[SessionOut]
    next_cursor: str | None
    """Null on the last page."""


class SessionStatus(SessionOut):
    qr_available: bool
    pairing_code: str
    """To be typed on the phone; empty while there is none."""
    has_worker: bool
    """Whether a live worker looks after this session now."""
    waiting: int
    """Messages that wait in it, counted up to 10,001."""
    oldest_waiting_at: datetime | None


class QrOut(Answer):
    qr: str
    """The text of the QR code."""
    image: str
    """The QR code as a PNG, in base64."""
    generated_at: datetime
    expires_at: datetime
    """Never more than 5 minutes after generated_at; WhatsApp shows a new code well before."""


def out(session: Session) -> SessionOut:
    return SessionOut(**_columns(session))


def status(session: Session, **more: Any) -> SessionStatus:
    return SessionStatus(**_columns(session), **more)


def _columns(session: Session) -> dict[str, Any]:
    derived = {"linked": session.linked_at is not None}
    return derived | {name: getattr(session, name) for name in SessionOut.model_fields if name not in derived}
