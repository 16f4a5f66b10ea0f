"""Messages as the API shows and takes them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from sessions_app.api.fields import STORABLE, VISIBLE, Answer, Body, PhoneText, PriorityName, Timestamp
from sessions_app.models import Message, MessageEvent
from sessions_app.models.messages import MAX_BODY_CHARACTERS
from sessions_app.policy.reasons import sentence
from sessions_app.services.estimates import UNKNOWN, Estimate


class MessageIn(Body):
    to: PhoneText
    text: Annotated[str, Field(min_length=1, max_length=MAX_BODY_CHARACTERS, pattern=VISIBLE)]
    session_id: UUID | None = Field(None, description="May be left out by a restaurant that has exactly one session.")
    priority: PriorityName = PriorityName.NORMAL
    reference: Annotated[str, Field(max_length=120, pattern=STORABLE, description="Your own, e.g. an order number.")] = ""
    not_before: Timestamp | None = Field(
        None,
        description="Not sent before this time: it is `scheduled` until then. At most 366 days ahead; a past time is now.",
    )
    expires_at: Timestamp | None = Field(None, description="Not sent after this time. At most 366 days ahead.")


class MessageSummary(Answer):
    id: UUID
    session_id: UUID
    to: str
    text: str
    priority: PriorityName
    reference: str
    status: Message.Status
    status_at: datetime
    """Since when it has this status."""
    lane: Literal["warm", "cold", "new"]
    """Which messages share its pace and limits: to customers who have written, to strangers, or the first one to a stranger."""
    hold_reason: str
    """Why it waits, as a stable code; empty when it does not wait."""
    hold_detail: str
    """The same in plain words, for people."""
    hold_until: datetime | None
    """Until when, as far as is known now; null while a person has to act, and when it does not wait."""
    estimated_send_at: datetime | None
    """Null once it has left the queue, and while its session cannot send; in a list also behind more than 1,000 others."""
    error_code: str
    """Why it failed, or why it was not sent the last time, as a stable code; empty when nothing went wrong."""
    error_detail: str
    """The same in plain words, for people."""
    attempts: int
    """How often it was handed to WhatsApp, or tried to be."""
    created_at: datetime
    not_before: datetime
    """It is not tried before this time."""
    expires_at: datetime | None
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None


class MessageOut(MessageSummary):
    position: int | None
    """Its place in its lane of the session's queue, 1 is next; null once it has left the queue. Counted up to 10,001."""
    delay_ms: int | None
    """Until estimated_send_at; once handed over, the pause that was applied before it."""


class TimelineEntry(Answer):
    at: datetime
    status: Message.Status
    detail: dict[str, Any]


class MessageDetail(MessageOut):
    timeline: list[TimelineEntry]


class MessagePage(Answer):
    items: list[MessageSummary]
    next_cursor: str | None
    """Null on the last page."""


def summary(message: Message, estimate: Estimate | None) -> MessageSummary:
    return MessageSummary(**_columns(message), **_wait(estimate or UNKNOWN))


def with_estimate(message: Message, estimate: Estimate) -> MessageOut:
    return MessageOut(**_columns(message), **_estimate(estimate))


def with_timeline(message: Message, estimate: Estimate, events: list[MessageEvent]) -> MessageDetail:
    entries = [TimelineEntry(at=event.at, status=Message.Status(event.status), detail=event.detail) for event in events]
    return MessageDetail(**_columns(message), **_estimate(estimate), timeline=entries)


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {"position": estimate.position, "delay_ms": estimate.delay_ms} | _wait(estimate)


def _wait(estimate: Estimate) -> dict[str, Any]:
    return {
        "hold_reason": estimate.reason,
        "hold_detail": sentence(estimate.reason),
        "hold_until": estimate.until,
        "estimated_send_at": estimate.send_at,
    }


def _columns(message: Message) -> dict[str, Any]:
    renamed = {
        "to": message.to_phone,
        "text": message.body,
        "priority": Message.Priority(message.priority).label,
        "lane": Message.Lane(message.lane).label,
    }
    told = {*renamed, *_wait(UNKNOWN)}
    return renamed | {name: getattr(message, name) for name in MessageSummary.model_fields if name not in told}
