"""When a waiting message will probably go out: its lane's next opening, and one mean pause more for each message ahead, within
the budgets and the hours. An estimate, never a promise; a place further back never has an earlier one."""

from datetime import datetime, timedelta

from sessions_app.policy.availability import Ready, when
from sessions_app.policy.budgets import hour_free_at, used_on_day
from sessions_app.policy.lanes import Lane
from sessions_app.policy.ledger import Ledger
from sessions_app.policy.local_time import local_day
from sessions_app.policy.priorities import Priority
from sessions_app.policy.restrictions import SLOWER, slow_until
from sessions_app.policy.rules import Number, Policy, day_limit
from sessions_app.policy.windows import Hours, closed_hours, next_open

NONE = timedelta()
MOST_DAYS = 60  # the daily budgets are followed that far
MOST_SPANS = 400  # and the hours that far


def estimated_send_at(
    lane: Lane,
    priority: Priority,
    *,
    ahead: int,
    ready_at: datetime,
    ledger: Ledger,
    policy: Policy,
    number: Number,
    now: datetime,
    others: timedelta = NONE,
) -> datetime:
    """`ahead`: messages of the lane that go first; `others`: what those of other lanes take that go first; `ready_at`: the
    message's own earliest time."""
    answer = when(lane, priority, ledger=ledger, policy=policy, number=number, now=now)
    hours = policy.hours_for(priority)
    opens = answer.at if isinstance(answer, Ready) else answer.until
    first = max(opens, open_time(hours, now, others)) if others else opens
    pause = mean_pause(lane, policy, number, first)
    by_pace = open_time(hours, first, ahead * pause)
    by_hour = hour_free_at(ledger.of(lane), policy.of(lane).per_hour, first, ahead)
    by_day = _by_day(lane, hours, pause, first, ahead, ledger, policy, number)
    return next_open(hours, max(by_pace, by_hour, by_day, ready_at))


def mean_pause(lane: Lane, policy: Policy, number: Number, at: datetime) -> timedelta:
    mean = policy.of(lane).pace.mean
    slow = slow_until(number.known, lane)
    return max(policy.warm.pace.mean, mean * SLOWER if slow is not None and at < slow else mean)


def open_time(hours: Hours, start: datetime, span: timedelta) -> datetime:
    """The instant at which `span` of open time has passed since `start`."""
    at, shut = next_open(hours, start), closed_hours(hours)
    if shut is None:
        return at + span
    for _ in range(MOST_SPANS):
        closes = next_open(shut, at)
        if at + span < closes:
            break
        span -= closes - at
        at = next_open(hours, closes)
    return at + span


def _by_day(
    lane: Lane, hours: Hours, pause: timedelta, first: datetime, ahead: int, ledger: Ledger, policy: Policy, number: Number
) -> datetime:
    """The daily budgets alone: days whose budget goes to those ahead are skipped."""
    day, start = local_day(policy.zone, first), first
    used = used_on_day(ledger.of(lane), first)
    for _ in range(MOST_DAYS):
        limit = day_limit(lane, policy, number, day.date)[0]
        if limit is None:
            return open_time(hours, start, ahead * pause)
        left = limit - used
        morning = next_open(hours, day.ends_at)
        if ahead < left:
            return min(open_time(hours, start, ahead * pause), morning)
        ahead, used, start = ahead - max(0, left), 0, morning
        day = local_day(policy.zone, morning)
    return start
