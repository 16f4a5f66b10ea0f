"""Wall clocks and calendar days of a place, also where its clock is set (daylight saving).

Instants are aware datetimes in UTC: arithmetic with a place's own datetimes would count what its clock shows, not what passes.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Day:
    """One calendar day of a place, from one midnight to the next: 23, 24 or 25 hours. `ends_at` is no part of it."""

    date: date
    starts_at: datetime
    ends_at: datetime


def wall(at: datetime, zone: ZoneInfo) -> datetime:
    """What the clock on the wall shows, naive."""
    return at.astimezone(zone).replace(tzinfo=None)


def clock_change(zone: ZoneInfo, start: datetime, end: datetime) -> datetime | None:
    """The first instant of (start, end] with the clock set anew; None if it shows the same offset at both ends. Meant for
    spans of a week or less, in which no place sets its clock twice."""
    before = start.astimezone(zone).utcoffset()
    if end.astimezone(zone).utcoffset() == before:
        return None
    low, high = int(start.timestamp()), int(end.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == before:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)


def next_midnight(zone: ZoneInfo, at: datetime) -> datetime:
    """The first instant of the next calendar day; that may be 01:00 where the clock skips midnight."""
    today = wall(at, zone).date()
    while True:
        clock = wall(at, zone)
        midnight = at + (datetime.combine(clock.date() + _DAY, time.min) - clock)
        change = clock_change(zone, at, midnight)
        if change is None:
            return midnight
        if wall(change, zone).date() > today:
            return change
        at = change


def local_day(zone: ZoneInfo, at: datetime) -> Day:
    today = wall(at, zone).date()
    starts_at = datetime.combine(today, time.min, zone).astimezone(UTC)  # the first midnight if the clock shows two
    return Day(today, starts_at, next_midnight(zone, at))
