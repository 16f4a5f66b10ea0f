"""What the bridges report, applied at most once however often it is delivered (the table of events: node_bridge/README.md).

An event that cannot be used (unknown session or message, not understood) is skipped, counted and logged: it never
costs the others of its batch. Anything temporary is raised, nothing of the batch is kept, and the bridge sends it again.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from sessions_app.models import InboundMessage, Message, SessionEvent
from sessions_app.policy import signals
from sessions_app.policy.text import storable
from sessions_app.services import contacts, lanes, optouts, receipts, standing, wakeups
from sessions_app.services.contact_book import Sighting
from sessions_app.services.phones import E164, canonical
from sessions_app.services.receipts import Fact
from sessions_app.services.sql import execute, fetch

log = structlog.get_logger(__name__)

COUNTED = ("applied", "duplicate", "unknown_session", "unknown_message", "ignored", "invalid")
RESTRICTIONS = {"number.restricted": "number_restricted", "number.chat_cap": "chat_cap"}
# The years at either end of what Python counts have instants that another time zone cannot show.
Moment = Annotated[AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(9999, 1, 1, tzinfo=UTC))]


class Event(BaseModel):
    id: str
    session: UUID
    type: str
    at: Moment
    data: dict[str, Any]


class ReceiptData(BaseModel):
    id: str
    status: Literal["delivered", "read"]
    at: Moment | None = None  # when it was given, of one that has waited


class AckData(BaseModel):
    id: str
    code: str | None = None


class ReceivedData(BaseModel):
    id: str
    chat: str
    sender: str
    phone: str | None = None
    lid: str | None = None
    name: str | None = None
    kind: str
    text: str | None = None
    edits: str | None = None  # WhatsApp's id of the message whose place it takes
    sent_at: Moment


def record(*, bridge: str, events: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Apply one batch in one transaction, and what it says of numbers after it. The answer says how many of each in COUNTED."""
    counts: Counter[str] = Counter(dict.fromkeys(COUNTED, 0))
    read = [event for event in (_read(raw, counts) for raw in events) if event]
    if read:
        with transaction.atomic():
            _one_batch_at_a_time(bridge)
            restrictions = _apply(read, counts)
        _note_standing(restrictions)
    if counts["applied"] + counts["duplicate"] != len(events):
        log.warning("inbound.events_skipped", bridge=bridge, **counts)
    return dict(counts)


def _one_batch_at_a_time(bridge: str) -> None:
    """A bridge that gave up waiting sends a batch again while its first delivery may still be at work. A web process that freezes
    in the middle keeps what it has locked no longer than an owner would: owners want the same messages."""
    lease_ms = f"{settings.WORKER_TTL_S * 1000:.0f}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, true)", [lease_ms])
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"inbound:{bridge}"])


def _apply(events: list[tuple[Event, BaseModel]], counts: Counter[str]) -> list[Event]:
    """The answer is what is left to be done. Chats are opened last: whoever holds what waits waits for nobody else."""
    restaurants = _restaurants_of({event.session for event, _ in events})
    counts["unknown_session"] += sum(event.session not in restaurants for event, _ in events)
    known = [(event, data) for event, data in events if event.session in restaurants]
    opened = _apply_facts([fact for fact in (_fact(event, data) for event, data in known) if fact], counts)
    _store_received([(event, data) for event, data in known if isinstance(data, ReceivedData)], restaurants, counts)
    restrictions = [event for event, _ in known if event.type in RESTRICTIONS]
    _note_restrictions(restrictions, counts)
    lanes.open_chats(messages=opened)
    return restrictions


class _Known(NamedTuple):
    session: UUID
    restaurant: UUID


# Who deletes a session holds it, and then wants its messages: it is waited for here, before any message is held. Owners are not
# waited for.
_SESSIONS = "SELECT id, restaurant_id FROM wa_session WHERE id = ANY(%(sessions)s) ORDER BY id FOR KEY SHARE"


def _restaurants_of(sessions: set[UUID]) -> dict[UUID, UUID]:
    return {row.session: row.restaurant for row in fetch(_Known, _SESSIONS, {"sessions": list(sessions)})}


def _fact(event: Event, data: BaseModel) -> Fact | None:
    at = min(event.at.astimezone(UTC), timezone.now())  # a bridge's clock may run ahead
    if isinstance(data, ReceiptData):
        return Fact(event.session, data.id, data.status, min(data.at.astimezone(UTC), at) if data.at else at)
    if isinstance(data, AckData):
        return Fact(event.session, data.id, "sent", at, refusal=data.code or "")
    return None


def _apply_facts(facts: list[Fact], counts: Counter[str]) -> Sequence[Message]:
    """The answer are those that have opened a chat."""
    applied = receipts.apply(facts)
    counts["applied"] += applied.known
    counts["unknown_message"] += len(facts) - applied.known
    if applied.settled:
        transaction.on_commit(lambda: wakeups.wake(applied.settled), robust=True)
    return applied.opened


def _store_received(events: list[tuple[Event, ReceivedData]], restaurants: dict[UUID, UUID], counts: Counter[str]) -> None:
    if not events:
        return
    senders = _contacts_of(events, restaurants)
    rows = [
        InboundMessage(
            restaurant_id=restaurants[event.session],
            session_id=event.session,
            contact_id=senders.get(number),
            chat=data.chat[:80],
            sender=data.sender[:80],
            wa_id=data.id[:64],
            kind=data.kind[:20],
            text=data.text or "",
            sent_at=min(data.sent_at.astimezone(UTC), timezone.now()),
        )
        for number, (event, data) in enumerate(events)
    ]
    fresh = _insert_new(rows)
    _tie_edits({row.pk: data.edits for row, (_, data) in zip(rows, events, strict=True) if row.pk in fresh and data.edits})
    counts["applied"] += len(fresh)
    counts["duplicate"] += len(rows) - len(fresh)
    optouts.heed(messages=[row for row in rows if row.pk in fresh])


def _insert_new(rows: list[InboundMessage]) -> set[UUID]:
    """The ids of those that were not there yet."""
    columns = ("id", "restaurant_id", "session_id", "contact_id", "chat", "sender", "wa_id", "kind", "text", "sent_at")
    kinds = ("uuid", "uuid", "uuid", "uuid", "text", "text", "text", "text", "text", "timestamptz")
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO inbound_message ({', '.join(columns)}, created_at)"
            f" SELECT *, statement_timestamp() FROM unnest({', '.join(f'%s::{kind}[]' for kind in kinds)})"
            " ON CONFLICT (session_id, chat, sender, wa_id) DO NOTHING RETURNING id",
            [[getattr(row, column) for row in rows] for column in columns],
        )
        return {line[0] for line in cursor.fetchall()}


# After both are there: a message and its edit may come in one batch. The unique index finds what only its own sender may edit.
_TIE_EDITS = """
UPDATE inbound_message e SET edits = o.id
FROM unnest(%(ids)s::uuid[], %(edited)s::text[]) AS k(id, wa_id), inbound_message o
WHERE e.id = k.id AND o.session_id = e.session_id AND o.chat = e.chat AND o.sender = e.sender AND o.wa_id = k.wa_id"""


def _tie_edits(edited: dict[UUID, str]) -> None:
    """To the messages they edit, which are named as WhatsApp does."""
    if edited:
        execute(_TIE_EDITS, {"ids": list(edited), "edited": list(edited.values())})


def _contacts_of(events: list[tuple[Event, ReceivedData]], restaurants: dict[UUID, UUID]) -> dict[int, UUID]:
    """By position in `events`; a sender whom WhatsApp names neither by number nor by LID has no contact."""
    named = {number: _sighting(event, data, restaurants) for number, (event, data) in enumerate(events)}
    seen = {number: sighting for number, sighting in named.items() if sighting.phone or sighting.lid}
    return dict(zip(seen, contacts.note_inbound(list(seen.values())), strict=True)) if seen else {}


def _sighting(event: Event, data: ReceivedData, restaurants: dict[UUID, UUID]) -> Sighting:
    phone = data.phone or ""
    return Sighting(
        restaurant_id=restaurants[event.session],
        session_id=event.session,
        phone=canonical(phone) if E164.fullmatch(phone) else "",
        lid=(data.lid or "")[:40],
        name=(data.name or "")[:120],
        at=min(data.sent_at.astimezone(UTC), timezone.now()),
    )


def _note_restrictions(events: list[Event], counts: Counter[str]) -> None:
    """Into the activity log, once for each event id: the index (session, at) finds an earlier delivery."""
    if not events:
        return
    noted = set(
        SessionEvent.objects.filter(
            session_id__in={event.session for event in events}, at__in={event.at for event in events}
        ).values_list("session_id", "detail__event")
    )
    fresh: dict[tuple[UUID, str], SessionEvent] = {}
    for event in events:
        if (event.session, event.id) not in noted:
            detail = {"event": event.id, **event.data}
            fresh[event.session, event.id] = SessionEvent(
                session_id=event.session, at=event.at, kind=RESTRICTIONS[event.type], detail=detail
            )
    SessionEvent.objects.bulk_create(fresh.values())
    counts["applied"] += len(fresh)
    counts["duplicate"] += len(events) - len(fresh)


def _note_standing(events: list[Event]) -> None:
    """What holds the cold lane; its owner looks at it again when something has changed. A transaction for each session, and none
    that holds messages already: owners lock sessions before their messages, so each would wait for the other. Told again, because
    it failed here, it is folded in once more, which changes nothing."""
    facts: dict[UUID, list[signals.Event]] = defaultdict(list)
    for event in events:
        facts[event.session].append(_restriction(event))
    changed = [session for session, told in facts.items() if standing.note(facts=[(session, fact) for fact in told])]
    if changed:
        transaction.on_commit(lambda: wakeups.wake(changed, coalesce=False), robust=True)


def _restriction(event: Event) -> signals.Event:
    at, data = min(event.at.astimezone(UTC), timezone.now()), event.data
    if event.type == "number.restricted":
        return signals.TimeLock(at, bool(data.get("active")), _moment(data.get("until")), str(data.get("kind", ""))[:40])
    used, total = _whole(data.get("used")), _whole(data.get("total"))
    status = signals.cap_status(str(data.get("status", "none")).upper())
    return signals.NewChatCap(at, status, used, total, _moment(data.get("cycle_ends_at")))


def _moment(value: Any) -> datetime | None:
    """None for what is no time with an offset: an end that cannot be read is no end."""
    try:
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (TypeError, ValueError, OverflowError):
        return None


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 31 else 0


_DATA: dict[str, type[BaseModel]] = {"message.receipt": ReceiptData, "message.ack": AckData, "message.received": ReceivedData}


def _read(raw: Mapping[str, Any], counts: Counter[str]) -> tuple[Event, BaseModel] | None:
    try:
        event = Event.model_validate(_storable(raw))
        if event.type not in _DATA and event.type not in RESTRICTIONS:
            counts["ignored"] += 1
            return None
        model = _DATA.get(event.type)
        return event, model.model_validate(event.data) if model else event
    except (ValidationError, RecursionError) as error:
        counts["invalid"] += 1
        log.error("inbound.event_invalid", id=_id_of(raw), error=type(error).__name__, fields=_fields(error))
        return None


def _fields(error: Exception) -> list[str]:
    """Where it is wrong, never what was in it."""
    return [".".join(map(str, one["loc"])) for one in error.errors()] if isinstance(error, ValidationError) else []


def _id_of(raw: Mapping[str, Any]) -> str:
    return str(raw.get("id", ""))[:64] if isinstance(raw, Mapping) else ""


def _storable(value: Any) -> Any:
    """Customers write anything: what PostgreSQL cannot hold is replaced, in every string of an event."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {_storable(key): _storable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_storable(one) for one in value]
    return value
