"""What WhatsApp says about a sent message. Status is a monotone maximum, sent < delivered < read: facts may come in any
order, any number of times."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from sessions_app.models import Message, MessageEvent
from sessions_app.policy.retry import Next, Outcome, judge

Status = Message.Status

_RANK = {Status.SENT: 1, Status.DELIVERED: 2, Status.READ: 3}
_ON_ITS_WAY = (Status.SENDING, Status.UNCERTAIN)


@dataclass(frozen=True)
class Fact:
    """A receipt or a late ack. `refusal` is the error code of an ack that says no."""

    session_id: UUID
    wa_id: str
    status: str  # sent, delivered or read
    at: datetime
    refusal: str = ""


@dataclass(frozen=True)
class Applied:
    known: int  # facts whose message exists
    settled: frozenset[UUID]  # sessions of which a message left `uncertain`: what waited behind it may go
    opened: Sequence[Message] = ()  # first messages to strangers that have come through


def apply(facts: Sequence[Fact]) -> Applied:
    """Apply facts in the order given, inside the caller's transaction; what changes a status goes to the timeline."""
    if not facts:
        return Applied(0, frozenset())
    of_message: dict[tuple[UUID, str], list[Fact]] = defaultdict(list)
    for fact in facts:
        of_message[fact.session_id, fact.wa_id].append(fact)
    messages = _locked(list(of_message))
    before = {message.pk: message.status for message in messages}
    told = ((message, fact) for message in messages for fact in of_message[message.session_id, message.wa_id])
    events = [event for message, fact in told for event in tell(message, fact)]
    _save(messages)
    MessageEvent.objects.bulk_create(events)
    settled = frozenset(m.session_id for m in messages if before[m.pk] == Status.UNCERTAIN and m.status != Status.UNCERTAIN)
    opened = [m for m in messages if m.lane == Message.Lane.NEW and m.status in _RANK and before[m.pk] not in _RANK]
    return Applied(sum(len(of_message[m.session_id, m.wa_id]) for m in messages), settled, opened)


def tell(message: Message, fact: Fact) -> list[MessageEvent]:
    """Change `message` (not saved) by what `fact` says; the timeline row it makes, if any."""
    if fact.refusal:
        return _refuse(message, fact)
    if not _may_advance(message):
        return []
    _note_times(message, fact)
    steps = _steps(message, fact)
    if not steps:
        return []
    detail = {"was": message.status} if message.status not in (*_ON_ITS_WAY, *_RANK) else {}
    message.status, message.status_at = Status(fact.status), fact.at
    message.hold_reason = message.error_code = message.error_detail = ""
    message.hold_until = None
    implied = [MessageEvent(message=message, at=fact.at, status=step, detail={"implied": True}) for step in steps[:-1]]
    return [*implied, MessageEvent(message=message, at=fact.at, status=message.status, detail=detail)]


def _steps(message: Message, fact: Fact) -> list[str]:
    """What the message has not been yet, up to what the fact says: what is delivered was sent, although its ack is on its way."""
    now = _RANK.get(Status(message.status), 0)
    return [step for step, rank in _RANK.items() if now < rank <= _RANK[Status(fact.status)]]


def _may_advance(message: Message) -> bool:
    """A receipt proves that the phone has it, whatever was decided since: but only if it ever was handed over."""
    return message.status in (*_ON_ITS_WAY, *_RANK) or message.attempts > 0


def _refuse(message: Message, fact: Fact) -> list[MessageEvent]:
    """A late refusal. Where policy tries again nothing changes: the resend under the same id gets its own answer, and
    so does one that is under way (`sending`)."""
    if message.status != Status.UNCERTAIN:
        return []
    refused = Outcome("rejected", fact.refusal)
    verdict = judge(refused, tries=message.tries, resend=True, now=fact.at, jitter=0.0)
    if verdict.next is not Next.FAILED:
        return []
    message.status, message.status_at = Status.FAILED, fact.at
    message.error_code, message.error_detail = verdict.code[:40], verdict.detail[:300]
    return [MessageEvent(message=message, at=fact.at, status=message.status, detail={"reason": message.error_code})]


def _note_times(message: Message, fact: Fact) -> None:
    """Earliest times win; what is read was delivered, and what is delivered was sent."""
    for status, field in ((Status.SENT, "sent_at"), (Status.DELIVERED, "delivered_at"), (Status.READ, "read_at")):
        known: datetime | None = getattr(message, field)
        if fact.status == status:
            setattr(message, field, min(known or fact.at, fact.at))
        elif known is None and _RANK[status] < _RANK[Status(fact.status)]:
            setattr(message, field, fact.at)


def _locked(keys: list[tuple[UUID, str]]) -> list[Message]:
    """In id order, so that two batches that name the same messages wait for each other instead of deadlocking."""
    return list(
        Message.objects.raw(
            "SELECT m.id, m.restaurant_id, m.session_id, m.to_phone, m.lane, m.wa_id, m.status, m.status_at, m.attempts, m.tries,"
            " m.sent_at, m.delivered_at, m.read_at, m.hold_reason, m.hold_until, m.error_code, m.error_detail"
            " FROM message m JOIN unnest(%s::uuid[], %s::text[]) AS k(session_id, wa_id)"
            " ON m.session_id = k.session_id AND m.wa_id = k.wa_id ORDER BY m.id FOR UPDATE OF m",
            [[session_id for session_id, _ in keys], [wa_id for _, wa_id in keys]],
        )
    )


_SAVED = {
    "status": "text",
    "status_at": "timestamptz",
    "sent_at": "timestamptz",
    "delivered_at": "timestamptz",
    "read_at": "timestamptz",
    "hold_reason": "text",
    "hold_until": "timestamptz",
    "error_code": "text",
    "error_detail": "text",
}


def _save(messages: list[Message]) -> None:
    columns = ", ".join(_SAVED)
    arrays = ", ".join(f"%s::{kind}[]" for kind in _SAVED.values())
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE message m SET {', '.join(f'{name} = n.{name}' for name in _SAVED)}"
            f" FROM unnest(%s::uuid[], {arrays}) AS n(id, {columns}) WHERE m.id = n.id",
            [[m.pk for m in messages], *([getattr(m, name) for m in messages] for name in _SAVED)],
        )
