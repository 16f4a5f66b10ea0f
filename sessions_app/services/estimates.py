"""When a waiting message will probably go out and why not sooner, from its place in its lane and from policy: an estimate, never
a promise."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import connection

from sessions_app.models import Message, Session
from sessions_app.policy import availability, estimates
from sessions_app.policy.priorities import Priority
from sessions_app.policy.reasons import Held, Reason
from sessions_app.services import outlook
from sessions_app.services.outlook import LANES, Outlook

MAX_COUNTED = 10_000  # messages ahead; the count stops there, so that a long queue costs a request milliseconds

State = Session.State
_SENDING_STATES = (State.CONNECTED, State.CONNECTING, State.DISCONNECTED)
_NOT_SENDING = {
    State.UNLINKED: Reason.NOT_LINKED,
    State.LINKING: Reason.NOT_LINKED,
    State.STOPPED: Reason.STOPPED,
    State.LOGGED_OUT: Reason.LOGGED_OUT,
    State.BLOCKED: Reason.BLOCKED,
}


@dataclass(frozen=True)
class Estimate:
    """`position` 1 is next in its lane; None once it has left the queue. `send_at` is None while the session cannot send.

    `delay_ms`: from now to `send_at`; once the message has been handed over, the pause that was applied before it.
    `reason` and `until`: why it waits; of what does not wait, empty and None.
    """

    position: int | None
    send_at: datetime | None
    delay_ms: int | None
    reason: str = ""
    until: datetime | None = None


def for_message(*, message: Message) -> Estimate:
    if message.status not in (Message.Status.QUEUED, Message.Status.SCHEDULED):
        return Estimate(None, None, message.delay_ms)
    return _waiting(message, outlook.of_session(message.session), _ahead(message))


def for_messages(*, messages: Sequence[Message]) -> dict[UUID, Held]:
    """Why those of a page wait that do, without their place. Their sessions and restaurants have been fetched."""
    waiting = [one for one in messages if one.status in (Message.Status.QUEUED, Message.Status.SCHEDULED)]
    sessions = {one.session_id: one.session for one in waiting}
    known = outlook.of_sessions(list(sessions.values())) if sessions else {}
    return {one.pk: _why(one, known[one.session_id], 1, known[one.session_id].now) for one in waiting}


def _waiting(message: Message, known: Outlook, ahead: int) -> Estimate:
    queued = message.status == Message.Status.QUEUED
    send_at = _send_at(message, known, ahead) if message.session.state in _SENDING_STATES else None
    why = _why(message, known, ahead, send_at or known.now)
    delay = _milliseconds(send_at - known.now) if send_at else None
    # What a person has to end has no end of its own.
    until = why.until if send_at or why.until > known.now else None
    return Estimate(ahead + 1 if queued else None, send_at, delay, str(why.reason), until)


def _why(message: Message, known: Outlook, ahead: int, expected_at: datetime) -> Held:
    if message.status == Message.Status.SCHEDULED:
        return Held(Reason.SCHEDULED, message.not_before)
    if not message.session.restaurant.is_active:
        return Held(Reason.RESTAURANT_OFF, known.now)
    if (reason := _NOT_SENDING.get(State(message.session.state))) is not None:
        return Held(reason, message.session.retry_at or known.now)
    own = Held(message.hold_reason, message.hold_until) if message.hold_reason and message.hold_until else None
    answer = known.when(LANES[message.lane], Priority(message.priority))
    return availability.explain(answer, ahead=ahead, expected_at=expected_at, now=known.now, own=own)


def _send_at(message: Message, known: Outlook, ahead: int) -> datetime:
    """Counted from what holds the whole session, which may be more than its pace."""
    held = [moment for moment in (message.not_before, message.hold_until) if moment]
    return estimates.estimated_send_at(
        LANES[message.lane],
        Priority(message.priority),
        ahead=ahead,
        ready_at=max(held),
        ledger=known.ledger,
        policy=known.rules.policy,
        number=known.number,
        now=max(known.now, message.session.next_send_at or known.now),
    )


def _ahead(message: Message) -> int:
    # The row comparison walks the partial index message_lane in order and stops at the limit.
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM (SELECT 1 FROM message WHERE session_id = %s AND lane = %s"
            " AND status = 'queued' AND (priority, seq) < (%s, %s) LIMIT %s) AS ahead",
            [message.session_id, message.lane, message.priority, message.seq, MAX_COUNTED],
        )
        ahead: int = cursor.fetchone()[0]
    return ahead


def _milliseconds(span: timedelta) -> int:
    return max(0, round(span / timedelta(milliseconds=1)))
