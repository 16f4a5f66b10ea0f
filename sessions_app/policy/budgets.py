"""Budgets of regulars and of strangers: so many messages in any 60 minutes, and so many on a calendar day of the restaurant.

The day is the restaurant's own, so that "today's budget" means what a manager means by it: it is new at midnight there, and
lasts 23 or 25 hours when the clock is set. The hour slides, so that no clock hour's end lets twice the limit through.
"""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sessions_app.policy.local_time import Day, local_day

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Tally:
    """What one session has sent to regulars, or to strangers. `jitter` is the die thrown at the last send, uniform over [0, 1):
    with it the pause after that send is drawn, once. `hour`: the times of the last 60 minutes' sends, oldest first, as many as
    the limit asks for; older ones do no harm. `day` and `sent_on_day`: its last day of sending, and how many of those count for
    the day's budget."""

    last_sent_at: datetime | None = None
    jitter: float = 0.0
    hour: tuple[datetime, ...] = ()
    day: Day | None = None
    sent_on_day: int = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """`resets_at`: a day's next midnight; for the hour, when the next message leaves it, or None while none is in it."""

    limit: int | None  # None: no limit
    used: int
    left: int | None
    resets_at: datetime | None


def counted(tally: Tally, at: datetime, jitter: float, zone: ZoneInfo, *, per_hour: int | None, budgeted: bool = True) -> Tally:
    """The tally after a send at `at`, which is taken as no earlier than the one before. Not `budgeted`: the day does not count
    it. Without a limit the hour is not kept: thousands of sessions would fill the memory with what nobody asks for."""
    at = at if tally.last_sent_at is None else max(at, tally.last_sent_at)
    hour = (*tally.hour[bisect_right(tally.hour, at - HOUR) :], at)[-per_hour:] if per_hour else ()
    if tally.day is not None and at < tally.day.ends_at:
        return Tally(at, jitter, hour, tally.day, tally.sent_on_day + budgeted)
    return Tally(at, jitter, hour, local_day(zone, at), int(budgeted))


def used_on_day(tally: Tally, at: datetime) -> int:
    return tally.sent_on_day if tally.day is not None and at < tally.day.ends_at else 0


def hour_free_at(tally: Tally, limit: int | None, at: datetime, ahead: int = 0) -> datetime:
    """From `at` on, when the hour has room for one more after `ahead` others, which are taken to go as early as it lets them."""
    if limit is None:
        return at
    hours, ahead = divmod(ahead, limit)
    leaves = len(tally.hour) - limit + ahead
    room = at if leaves < 0 else max(at, tally.hour[leaves] + HOUR)
    return room + hours * HOUR


def hour_budget(tally: Tally, limit: int | None, now: datetime) -> Budget:
    gone = bisect_right(tally.hour, now - HOUR)
    used = len(tally.hour) - gone
    return Budget(limit, used, _left(limit, used), tally.hour[gone] + HOUR if used else None)


def day_budget(tally: Tally, limit: int | None, now: datetime, zone: ZoneInfo) -> Budget:
    used = used_on_day(tally, now)
    day = tally.day if used and tally.day is not None else local_day(zone, now)
    return Budget(limit, used, _left(limit, used), day.ends_at)


def _left(limit: int | None, used: int) -> int | None:
    return None if limit is None else max(0, limit - used)
