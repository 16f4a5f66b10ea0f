"""When a waiting message will probably go out, from its place in the queue and the pace. An estimate, never a promise."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection

from sessions_app.models import Message, Restaurant, Session

MAX_COUNTED = 10_000  # messages ahead; the count stops there, so that a long queue costs a request milliseconds

_SENDING_STATES = (Session.State.CONNECTED, Session.State.CONNECTING, Session.State.DISCONNECTED)


@dataclass(frozen=True)
class Estimate:
    """`position` 1 is next; None once it has left the queue. `send_at` is None while the session cannot send.

    `delay_ms`: from now to `send_at`; once the message has been handed over, the pause that was applied before it.
    """

    position: int | None
    send_at: datetime | None
    delay_ms: int | None


def for_message(*, message: Message) -> Estimate:
    if message.status not in (Message.Status.QUEUED, Message.Status.SCHEDULED):
        return Estimate(None, None, message.delay_ms)
    now, ahead = _now_and_ahead(message)
    queued = message.status == Message.Status.QUEUED
    send_at = _send_at(message, now, ahead) if message.session.state in _SENDING_STATES else None
    return Estimate(ahead + 1 if queued else None, send_at, _milliseconds(send_at - now) if send_at else None)


def mean_delay(restaurant: Restaurant) -> timedelta:
    """The average pause between two messages of a session of this restaurant."""
    shortest = restaurant.pace_min_delay_ms if restaurant.pace_min_delay_ms is not None else settings.PACE_MIN_DELAY_MS
    longest = restaurant.pace_max_delay_ms if restaurant.pace_max_delay_ms is not None else settings.PACE_MAX_DELAY_MS
    return timedelta(milliseconds=(shortest + max(longest, shortest)) / 2)


def expected_send_at(*, now: datetime, next_slot: datetime | None, ready_at: datetime, ahead: int, pause: timedelta) -> datetime:
    """The session's next slot, one pause later for each message ahead, and not before the message is ready."""
    return max(max(now, next_slot or now) + ahead * pause, ready_at)


def _send_at(message: Message, now: datetime, ahead: int) -> datetime:
    held = [moment for moment in (message.not_before, message.hold_until) if moment]
    return expected_send_at(
        now=now,
        next_slot=message.session.next_send_at,
        ready_at=max(held),
        ahead=ahead,
        pause=mean_delay(message.restaurant),
    )


def _now_and_ahead(message: Message) -> tuple[datetime, int]:
    # The row comparison walks the partial index message_claim in order and stops at the limit.
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT statement_timestamp(), (SELECT count(*) FROM (SELECT 1 FROM message WHERE session_id = %s"
            " AND status = 'queued' AND (priority, seq) < (%s, %s) LIMIT %s) AS ahead)",
            [message.session_id, message.priority, message.seq, MAX_COUNTED],
        )
        now, ahead = cursor.fetchone()
    return now, ahead


def _milliseconds(span: timedelta) -> int:
    return max(0, round(span / timedelta(milliseconds=1)))
