"""What callers do with messages: accept one, withdraw one, read its timeline. Owners do the rest (`claims`, `settlements`)."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Coalesce, Now

from sessions_app.errors import Conflict, DomainError, IdempotencyKeyReused, NotFound
from sessions_app.models import IdempotencyRecord, Message, MessageEvent, Restaurant, Session
from sessions_app.models.messages import MAX_BODY_CHARACTERS
from sessions_app.policy.text import is_storable
from sessions_app.services import lanes, phones, wakeups
from sessions_app.services.sql import fetch

MAX_AHEAD = timedelta(days=366)  # of `not_before` and `expires_at`
MAX_REFERENCE_CHARACTERS = 120


class OptedOut(DomainError):
    """This customer has opted out: they wrote STOP, and have not written START since."""

    code = "opted_out"


class InvalidMessage(DomainError):
    """This cannot be sent as a message."""

    code = "invalid_message"

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Enqueued:
    message: Message
    replayed: bool  # the Idempotency-Key had made this message before


def enqueue(
    *,
    session: Session,
    to: str,
    body: str,
    priority: str = "normal",
    reference: str = "",
    not_before: datetime | None = None,
    expires_at: datetime | None = None,
    idempotency_key: str | None = None,
    fingerprint: bytes | None = None,
) -> Enqueued:
    """Accept a message: when this returns outside a transaction, it is stored for good.

    The same `idempotency_key` never makes two messages in one restaurant, however many requests carry it at once.
    Raises InvalidPhone, InvalidMessage, OptedOut, NotFound (the session was deleted), IdempotencyKeyReused.
    """
    restaurant = session.restaurant
    message = Message(
        restaurant=restaurant,
        session=session,
        to_phone=phones.normalise(to, restaurant.default_region),
        body=_checked_body(body),
        priority=_priority(priority),
        reference=_checked_reference(reference),
        wa_id="3EB0" + secrets.token_hex(9).upper(),
    )
    with transaction.atomic():
        now = _lock_against_deletion(session)
        if idempotency_key is not None and not _claim_key(message, idempotency_key, fingerprint or b"", now):
            return Enqueued(_replay(restaurant, idempotency_key, fingerprint or b""), replayed=True)
        _set_lane(message)
        _set_times(message, now, not_before, expires_at)
        message.save(force_insert=True)
        MessageEvent.objects.create(message=message, at=now, status=message.status)
        transaction.on_commit(lambda: wakeups.wake([session.pk]), robust=True)
    return Enqueued(message, replayed=False)


def find_replay(*, restaurant: Restaurant, idempotency_key: str, fingerprint: bytes) -> Message | None:
    """The message this key has made, so that a retry is answered even where the same request would be refused today.

    Raises IdempotencyKeyReused when the key belongs to another request.
    """
    records = IdempotencyRecord.objects.filter(restaurant=restaurant, key=idempotency_key)
    for known, message_id in records.values_list("fingerprint", "message_id"):  # one at most, and mostly none
        if bytes(known) != fingerprint:
            raise IdempotencyKeyReused
        return Message.objects.select_related("session__restaurant", "restaurant").get(pk=message_id)
    return None


def cancel(*, message: Message) -> Message:
    """Withdraw a message that still waits. Raises Conflict once its owner has taken it, or it is finished; NotFound once it is
    forgotten."""
    with transaction.atomic():
        canceled = Message.objects.filter(pk=message.pk, status__in=Message.WAITING).update(
            status=Message.Status.CANCELED, status_at=Now(), hold_reason="", hold_until=None
        )
        _refresh(message)
        if not canceled:
            raise Conflict(f"Only a waiting message can be canceled; this one is {message.status}.")
        MessageEvent.objects.create(message=message, at=message.status_at, status=message.status)
    return message


def confirm(*, message: Message, by: str) -> Message:
    """A person knows that the customer has it: `uncertain → sent`. Raises Conflict for any other message."""
    return _decide(message, Message.Status.SENT, "arrived", by, sent_at=Coalesce("sent_at", "sending_at", Now()))


def send_again(*, message: Message, by: str) -> Message:
    """A person wants it sent once more: `uncertain → queued`, under the same WhatsApp id, so that the customer sees it once,
    whatever became of the first attempt. Raises Conflict for any other message, and for one that the number before this one has
    handed over: from this one it would be a second message."""
    if message.status == Message.Status.UNCERTAIN and message.is_another_numbers:
        raise Conflict(
            "It was handed over by another number, which was linked before this one. Sent by this one, the customer may see it"
            " twice. If they have it, say that it arrived; if they do not, send it as a new message."
        )
    decided = _decide(message, Message.Status.QUEUED, "send_again", by, not_before=Now())
    transaction.on_commit(lambda: wakeups.wake([message.session_id]), robust=True)
    return decided


_UNHELD = {"error_code": "", "error_detail": "", "held": False, "hold_reason": "", "hold_until": None}


def _decide(message: Message, status: Message.Status, reason: str, by: str, **more: Any) -> Message:
    with transaction.atomic():
        uncertain = Message.objects.filter(pk=message.pk, status=Message.Status.UNCERTAIN)
        decided = uncertain.update(status=status, status_at=Now(), **_UNHELD, **more)
        _refresh(message)
        if not decided:
            raise Conflict(f"Only an uncertain message waits for a person; this one is {message.status}.")
        detail = {"reason": reason, "by": by}
        MessageEvent.objects.create(message=message, at=message.status_at, status=message.status, detail=detail)
    return message


def _refresh(message: Message) -> None:
    try:
        message.refresh_from_db()
    except Message.DoesNotExist:
        raise NotFound("This message is not kept any more.") from None


def timeline(*, message: Message) -> QuerySet[MessageEvent]:
    """Every change of the message, first one first."""
    return message.events.order_by("id")


class _Oldest(NamedTuple):
    created_at: datetime


def oldest_waiting_at(*, session: Session) -> datetime | None:
    """When what has waited longest in the queue was accepted: the first line of an index for each lane and priority, however
    many wait."""
    statement = """
        SELECT h.created_at FROM (VALUES (false), (true)) AS w(held), generate_series(0, 2) AS l(lane),
            generate_series(0, 3) AS p(priority),
            LATERAL (SELECT m.created_at, m.seq FROM message m
                     WHERE m.session_id = %(session)s AND m.status = 'queued' AND m.held = w.held AND m.lane = l.lane
                       AND m.priority BETWEEN p.priority AND p.priority
                     ORDER BY m.priority, m.seq LIMIT 1) h
        ORDER BY h.seq LIMIT 1"""
    oldest = fetch(_Oldest, statement, {"session": session.pk})
    return oldest[0].created_at if oldest else None


def _checked_body(body: str) -> str:
    if not body.strip():
        raise InvalidMessage("The text is empty.", field="text")
    if len(body) > MAX_BODY_CHARACTERS:
        raise InvalidMessage(f"The text has {len(body)} characters; at most {MAX_BODY_CHARACTERS} are allowed.", field="text")
    return _storable(body, "text")


def _checked_reference(reference: str) -> str:
    if len(reference) > MAX_REFERENCE_CHARACTERS:
        raise InvalidMessage(f"The reference has more than {MAX_REFERENCE_CHARACTERS} characters.", field="reference")
    return _storable(reference, "reference")


def _storable(text: str, field: str) -> str:
    if not is_storable(text):
        raise InvalidMessage(f"The {field} has a character that is no text (NUL, or half of a surrogate pair).", field=field)
    return text


def _priority(name: str) -> Message.Priority:
    try:
        return Message.Priority[name.upper()]
    except KeyError:
        raise InvalidMessage(f"The priority is one of {', '.join(Message.Priority.labels)}.", field="priority") from None


def _lock_against_deletion(session: Session) -> datetime:
    """The database's time, with the session held undeleted until commit.

    KEY SHARE: it waits for `sessions.delete`, which takes FOR UPDATE, and never for an owner's writes.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT statement_timestamp() FROM wa_session WHERE id = %s AND deleted_at IS NULL FOR KEY SHARE", [session.pk]
        )
        row = cursor.fetchone()
    if row is None:
        raise NotFound("This session has been deleted.")
    now: datetime = row[0]
    return now


def _claim_key(message: Message, key: str, fingerprint: bytes, now: datetime) -> bool:
    """Whether this request is the first with its key. One under way elsewhere is waited for; its outcome decides."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO idempotency_record (restaurant_id, key, fingerprint, message_id, created_at)"
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (restaurant_id, key) DO NOTHING",
            [message.restaurant_id, key, fingerprint, message.pk, now],
        )
        first: bool = cursor.rowcount == 1
    return first


def _replay(restaurant: Restaurant, key: str, fingerprint: bytes) -> Message:
    message = find_replay(restaurant=restaurant, idempotency_key=key, fingerprint=fingerprint)
    if message is None:
        raise Conflict("The request that used this Idempotency-Key first has just been cleared away; send it again.")
    return message


def _set_lane(message: Message) -> None:
    recipient = lanes.of_recipient(session=message.session, phone=message.to_phone)
    if recipient.opted_out:
        raise OptedOut
    message.lane = recipient.lane


def _set_times(message: Message, now: datetime, not_before: datetime | None, expires_at: datetime | None) -> None:
    for field, value in (("not_before", not_before), ("expires_at", expires_at)):
        if value is not None and value - now > MAX_AHEAD:
            raise InvalidMessage(f"{field} lies more than {MAX_AHEAD.days} days ahead.", field=field)
    message.not_before = max(not_before, now) if not_before else now
    if expires_at is not None and expires_at <= message.not_before:
        raise InvalidMessage("expires_at has to lie ahead, and after the time it may be sent.", field="expires_at")
    message.expires_at = expires_at
    message.status = Message.Status.SCHEDULED if message.not_before > now else Message.Status.QUEUED
    message.status_at = now
