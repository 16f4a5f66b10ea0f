"""When a lane of a session may send next, and if not now, why: all rules in one answer.

The rules that, once they let a message go, keep letting it go (pace, holds, budgets) are taken together; the restaurant's
hours, which close again, come last. So the answer is the first instant at which every rule agrees, and asking again before
that instant gives the same one. Nothing of the cold lane but the time of its last send enters the warm lane's answer.
"""

from dataclasses import dataclass
from datetime import datetime

from sessions_app.policy.budgets import Budget, day_budget, hour_budget, hour_free_at
from sessions_app.policy.lanes import Lane
from sessions_app.policy.ledger import Ledger
from sessions_app.policy.local_time import wall
from sessions_app.policy.pacing import History, next_send_at, slowed_send_at
from sessions_app.policy.priorities import Priority
from sessions_app.policy.reasons import Held, Reason, longest
from sessions_app.policy.restrictions import SLOWER, hold, slow_until
from sessions_app.policy.rules import Number, Policy, day_limit
from sessions_app.policy.windows import next_open

_CLASSES = (Priority.LOW, Priority.HIGH, Priority.URGENT)  # no rule tells normal from low


@dataclass(frozen=True, slots=True)
class Ready:
    """At this instant: `now`, or the end of the pause after the last message."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Gates:
    """What may be claimed at an instant: each lane's messages of this priority or a more urgent one; None: nothing."""

    warm: Priority | None
    cold: Priority | None
    new: Priority | None


@dataclass(frozen=True, slots=True)
class Budgets:
    """`warming_up`: the day's limit is the warm-up's, not the restaurant's own."""

    day: Budget
    hour: Budget
    warming_up: bool


def when(lane: Lane, priority: Priority, *, ledger: Ledger, policy: Policy, number: Number, now: datetime) -> Ready | Held:
    """`until` of what is held is the instant at which all rules agree; its reason is the rule that alone holds longest."""
    slot = slot_at(lane, ledger=ledger, policy=policy, number=number, now=now)
    return _answer(lane, priority, slot, _spent(lane, slot, ledger, policy, number), policy, number)


def slot_at(lane: Lane, *, ledger: Ledger, policy: Policy, number: Number, now: datetime) -> datetime:
    """By the pace alone: the pause after the session's last message, and for a stranger that after the last stranger, too."""
    last = ledger.latest
    slot = next_send_at(policy.warm.pace, History(last.last_sent_at), now, last.jitter)
    return slot if lane is Lane.WARM else _strangers_slot(slot, ledger, policy, number)


def gates(*, ledger: Ledger, policy: Policy, number: Number, now: datetime) -> Gates:
    """All lanes at once. `now` may be the instant a message would go, where it is claimed a little earlier."""
    slot = slot_at(Lane.WARM, ledger=ledger, policy=policy, number=number, now=now)
    strangers = _strangers_slot(slot, ledger, policy, number)
    return Gates(
        _gate(Lane.WARM, slot, ledger, policy, number, now),
        _gate(Lane.COLD, strangers, ledger, policy, number, now),
        _gate(Lane.NEW, strangers, ledger, policy, number, now),
    )


def today(lane: Lane, *, ledger: Ledger, policy: Policy, number: Number, now: datetime) -> Budgets:
    """The lane's budgets as a page shows them."""
    tally = ledger.of(lane)
    limit, reason = day_limit(lane, policy, number, wall(now, policy.zone).date())
    hour = hour_budget(tally, policy.of(lane).per_hour, now)
    return Budgets(day_budget(tally, limit, now, policy.zone), hour, reason is Reason.WARM_UP)


def explain(answer: Ready | Held, *, ahead: int, expected_at: datetime, now: datetime, own: Held | None = None) -> Held:
    """Why a queued message waits, and until when. `answer`: its lane's, for its priority; `own`: what holds this message
    alone; `ahead`: how many go before it; `expected_at`: the estimate."""
    waits = [wait for wait in (own, answer) if isinstance(wait, Held) and wait.until > now]
    if (worst := longest(waits)) is not None:
        return worst
    if ahead > 0:
        return Held(Reason.QUEUE, expected_at)
    at = answer.at if isinstance(answer, Ready) else answer.until
    return Held(Reason.PACE, at) if at > now else Held(Reason.NEXT, now)


def _strangers_slot(slot: datetime, ledger: Ledger, policy: Policy, number: Number) -> datetime:
    """`slot`: anybody's."""
    cold, slow = ledger.cold, slow_until(number.known, Lane.COLD)
    return slowed_send_at(policy.cold.pace, SLOWER, slow, History(cold.last_sent_at), slot, cold.jitter)


def _answer(lane: Lane, priority: Priority, slot: datetime, spent: list[Held], policy: Policy, number: Number) -> Ready | Held:
    restricted, hours = hold(number.known, lane, priority), policy.hours_for(priority)
    waits = [*spent, restricted] if restricted is not None and restricted.until > slot else spent
    opens = next_open(hours, slot)
    if not waits and opens == slot:
        return Ready(slot)
    free = max((wait.until for wait in waits), default=slot)
    closed = [Held(_why_closed(policy, slot), opens)] if opens > slot else []
    reason = max((*waits, *closed), key=lambda wait: wait.until).reason
    return Held(reason, opens if free <= opens else next_open(hours, free))


def _spent(lane: Lane, slot: datetime, ledger: Ledger, policy: Policy, number: Number) -> list[Held]:
    """The budgets that are used up at the slot, and when they are not any more."""
    tally, spent = ledger.of(lane), []
    hour = hour_free_at(tally, policy.of(lane).per_hour, slot)
    if hour > slot:
        spent.append(Held(Reason.HOURLY_LIMIT, hour))
    if tally.day is not None and slot < tally.day.ends_at:
        limit, reason = day_limit(lane, policy, number, tally.day.date)
        if limit is not None and tally.sent_on_day >= limit:
            spent.append(Held(reason, tally.day.ends_at))
    return spent


def _why_closed(policy: Policy, slot: datetime) -> Reason:
    return Reason.QUIET_HOURS if next_open(policy.windows, slot) == slot else Reason.SEND_WINDOW


def _gate(lane: Lane, slot: datetime, ledger: Ledger, policy: Policy, number: Number, now: datetime) -> Priority | None:
    """The least urgent priority that may go."""
    if slot > now:
        return None
    spent = _spent(lane, slot, ledger, policy, number)
    for priority in _CLASSES:
        answer = _answer(lane, priority, slot, spent, policy, number)
        if (answer.at if isinstance(answer, Ready) else answer.until) <= now:
            return priority
    return None
