"""When a waiting message will probably go out and why not sooner, from its place in its lane and from policy: an estimate, never
a promise."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sessions_app.models import Message, Session
from sessions_app.policy import availability, estimates
from sessions_app.policy.availability import Ready
from sessions_app.policy.priorities import Priority
from sessions_app.policy.reasons import Held, Reason
from sessions_app.services import outlook
from sessions_app.services.outlook import LANES, Outlook
from sessions_app.services.sql import fetch

MAX_COUNTED = 10_000  # messages ahead; the count stops there, so that a long queue costs a request milliseconds
MAX_LISTED = 1_000  # the same for each message of a list
Place = tuple[int, int, int]  # how many of each lane go before it

_WAITING = (Message.Status.QUEUED, Message.Status.SCHEDULED)

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
    if message.status not in _WAITING:
        return Estimate(None, None, message.delay_ms)
    return _waiting(message, outlook.of_session(message.session), _places([message], MAX_COUNTED)[message.pk])


def for_messages(*, messages: Sequence[Message]) -> dict[UUID, Estimate]:
    """Of those of a page that wait. Their sessions and restaurants have been fetched. Behind more than MAX_LISTED others nothing
    is said of when: that would cost a page too much."""
    waiting = [one for one in messages if one.status in _WAITING]
    if not waiting:
        return {}
    known = outlook.of_sessions(list({one.session_id: one.session for one in waiting}.values()))
    places = _places(waiting, MAX_LISTED)
    return {one.pk: _waiting(one, known[one.session_id], places[one.pk], most=MAX_LISTED) for one in waiting}


def _waiting(message: Message, known: Outlook, place: Place, most: int | None = None) -> Estimate:
    queued = message.status == Message.Status.QUEUED
    tells = message.session.state in _SENDING_STATES and (most is None or max(place) < most)
    others = _others(message, known, place)
    ahead = place[message.lane]
    send_at = _send_at(message, known, ahead, others) if tells else None
    why = _why(message, known, ahead if not others else max(ahead, 1), send_at or known.now)
    delay = _milliseconds(send_at - known.now) if send_at else None
    # What a person has to end has no end of its own.
    until = why.until if send_at or why.until > known.now else None
    return Estimate(ahead + 1 if queued else None, send_at, delay, str(why.reason), until)


def _others(message: Message, known: Outlook, place: Place) -> timedelta:
    """What those of other lanes take that go before a message to a stranger, since they were accepted earlier or are more urgent.
    Regulars do not wait for strangers: those go in the pauses of their own."""
    if message.lane == Message.Lane.WARM:
        return timedelta()
    total, policy = timedelta(), known.rules.policy
    for count, lane in zip(place, LANES, strict=True):
        if lane is not LANES[message.lane] and isinstance(known.when(lane, Priority(message.priority)), Ready):
            total += count * estimates.mean_pause(lane, policy, known.number, known.now)
    return total


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


def _send_at(message: Message, known: Outlook, ahead: int, others: timedelta) -> datetime:
    """Counted from what holds the whole session, which may be more than its pace."""
    held = [moment for moment in (message.not_before, message.hold_until) if moment]
    return estimates.estimated_send_at(
        LANES[message.lane],
        Priority(message.priority),
        ahead=ahead,
        others=others,
        ready_at=max(held),
        ledger=known.ledger,
        policy=known.rules.policy,
        number=known.number,
        now=max(known.now, message.session.next_send_at or known.now),
    )


class _Counted(NamedTuple):
    message: UUID
    lane: int
    ahead: int


# The row comparison walks the partial index message_lane in order and stops at the limit.
_PLACES = """
    SELECT q.id, l.lane, (SELECT count(*) FROM (
        SELECT 1 FROM message m
        WHERE m.session_id = q.session AND m.lane = l.lane AND m.status = 'queued' AND (m.priority, m.seq) < (q.priority, q.seq)
        LIMIT %(most)s) AS ahead)
    FROM unnest(%(id)s::uuid[], %(session)s::uuid[], %(priority)s::int[], %(seq)s::bigint[]) AS q(id, session, priority, seq),
        generate_series(0, 2) AS l(lane)"""


def _places(messages: Sequence[Message], most: int) -> dict[UUID, Place]:
    values = {
        "id": [one.pk for one in messages],
        "session": [one.session_id for one in messages],
        "priority": [one.priority for one in messages],
        "seq": [one.seq for one in messages],
        "most": most,
    }
    counted = {(row.message, row.lane): row.ahead for row in fetch(_Counted, _PLACES, values)}
    return {one.pk: (counted[one.pk, 0], counted[one.pk, 1], counted[one.pk, 2]) for one in messages}


def _milliseconds(span: timedelta) -> int:
    return max(0, round(span / timedelta(milliseconds=1)))
