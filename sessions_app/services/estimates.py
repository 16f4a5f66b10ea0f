"""When a waiting message will probably go out and why not sooner, from its place in its lane and from policy: an estimate, never
a promise."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import structlog

from sessions_app.models import Message, Session
from sessions_app.policy import availability, estimates
from sessions_app.policy.availability import Ready
from sessions_app.policy.lanes import LANES, Lane
from sessions_app.policy.priorities import Priority
from sessions_app.policy.reasons import Held, Reason
from sessions_app.services import outlook
from sessions_app.services.claims import RESENT
from sessions_app.services.outlook import Outlook
from sessions_app.services.sql import fetch

log = structlog.get_logger(__name__)
MAX_COUNTED = 10_000  # messages ahead; the count stops there, so that a long queue costs a request milliseconds
MAX_LISTED = 1_000  # the same for each message of a list


class Place(NamedTuple):
    """`ahead`: how many of each lane go before it. `unanswered_until`: when a message of its session that had no clear outcome is
    sent again; until that is settled nothing else goes."""

    ahead: tuple[int, int, int]
    unanswered_until: datetime | None


State = Session.State
_SENDING_STATES = (State.CONNECTED, State.CONNECTING, State.DISCONNECTED)


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


UNKNOWN = Estimate(None, None, None)


def for_message(*, message: Message) -> Estimate:
    if message.status not in Message.WAITING:
        return Estimate(None, None, message.delay_ms)
    return _waiting(message, outlook.of_session(message.session), _places([message], MAX_COUNTED)[message.pk])


def of_accepted(*, message: Message) -> Estimate:
    """For the answer to what has been done already: no failure here may turn that into another answer, and have it done twice."""
    try:
        return for_message(message=message)
    except Exception:
        log.exception("estimate.failed", session=message.session_id, message=message.pk)
        return UNKNOWN


def for_messages(*, messages: Sequence[Message]) -> dict[UUID, Estimate]:
    """Of those of a page that wait. Their sessions and restaurants have been fetched. Behind more than MAX_LISTED others nothing
    is said of when: that would cost a page too much."""
    waiting = [one for one in messages if one.status in Message.WAITING]
    if not waiting:
        return {}
    known = outlook.of_sessions(list({one.session_id: one.session for one in waiting}.values()))
    places = _places(waiting, MAX_LISTED)
    return {one.pk: _waiting(one, known[one.session_id], places[one.pk], most=MAX_LISTED) for one in waiting}


def _waiting(message: Message, known: Outlook, place: Place, most: int | None = None) -> Estimate:
    queued = message.status == Message.Status.QUEUED
    tells = message.session.state in _SENDING_STATES and known.owned and (most is None or max(place.ahead) < most)
    others = _others(message, known, place)
    ahead = place.ahead[message.lane]
    send_at = _send_at(message, known, place, others) if tells else None
    blocked = bool(others) or place.unanswered_until is not None
    why = _why(message, known, max(ahead, 1) if blocked else ahead, send_at or known.now)
    delay = _milliseconds(send_at - known.now) if send_at else None
    # What a person has to end has no end of its own.
    until = why.until if send_at or why.until > known.now else None
    return Estimate(ahead + 1 if queued else None, send_at, delay, str(why.reason), until)


def _others(message: Message, known: Outlook, place: Place) -> timedelta:
    """What those of other lanes take that go before a message to a stranger, since they were accepted earlier or are more urgent,
    and may go no later than it may. Regulars do not wait for strangers: those go in the pauses of their own."""
    if message.lane == Message.Lane.WARM:
        return timedelta()
    total, policy = timedelta(), known.rules.policy
    opens = _opens(message, known, LANES[message.lane])
    for count, lane in zip(place.ahead, LANES, strict=True):
        if lane is not LANES[message.lane] and _opens(message, known, lane) <= opens:
            total += count * estimates.mean_pause(lane, policy, known.number, known.now)
    return total


def _opens(message: Message, known: Outlook, lane: Lane) -> datetime:
    answer = known.when(lane, Priority(message.priority))
    return answer.at if isinstance(answer, Ready) else answer.until


def _why(message: Message, known: Outlook, ahead: int, expected_at: datetime) -> Held:
    if message.status == Message.Status.SCHEDULED:
        return Held(Reason.SCHEDULED, message.not_before)
    if known.stopped is not None:
        return known.stopped
    own = Held(message.hold_reason, message.hold_until) if message.hold_reason and message.hold_until else None
    answer = known.when(LANES[message.lane], Priority(message.priority))
    return availability.explain(answer, ahead=ahead, expected_at=expected_at, now=known.now, own=own)


def _back_at(session: Session) -> datetime | None:
    return session.retry_at if session.state == State.DISCONNECTED else None


def _send_at(message: Message, known: Outlook, place: Place, others: timedelta) -> datetime:
    """Counted from what holds the whole session, which may be more than its pace."""
    session = message.session
    free = [moment for moment in (session.next_send_at, _back_at(session), place.unanswered_until) if moment]
    held = [moment for moment in (message.not_before, message.hold_until) if moment]
    return estimates.estimated_send_at(
        LANES[message.lane],
        Priority(message.priority),
        ahead=place.ahead[message.lane],
        others=others,
        ready_at=max(held),
        ledger=known.ledger,
        policy=known.rules.policy,
        number=known.number,
        now=max([known.now, *free]),
    )


class _Counted(NamedTuple):
    message: UUID
    lane: int
    ahead: int
    unanswered_until: datetime | None


# The row comparison walks the partial index message_line in order and stops at the limit. What is held goes before nothing: it
# takes its place once it may go.
_PLACES = f"""
    SELECT q.id, l.lane, (SELECT count(*) FROM (
        SELECT 1 FROM message m
        WHERE m.session_id = q.session AND m.status = 'queued' AND NOT m.held AND m.lane = l.lane
          AND (m.priority, m.seq) < (q.priority, q.seq)
        LIMIT %(most)s) AS ahead),
        (SELECT max(m.not_before) FROM message m JOIN wa_session s ON s.id = m.session_id
         WHERE m.session_id = q.session AND m.status = 'uncertain' AND {RESENT.format("s")})
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
    counted = {(row.message, row.lane): row for row in fetch(_Counted, _PLACES, values)}
    return {one.pk: _place(one, *(counted[one.pk, lane] for lane in range(len(LANES)))) for one in messages}


def _place(message: Message, warm: _Counted, cold: _Counted, new: _Counted) -> Place:
    """Where nothing is sent again by itself, what had no outcome holds nobody up: it waits for a person."""
    resends = message.session.restaurant.resend_uncertain
    return Place((warm.ahead, cold.ahead, new.ahead), warm.unanswered_until if resends else None)


def _milliseconds(span: timedelta) -> int:
    return max(0, round(span / timedelta(milliseconds=1)))
