"""Quiet hours and send windows, by the clock on the restaurant's wall.

Whether an instant is open is asked of what the clock shows then. So an hour that the clock shows twice is quiet twice, and a
quiet hour that the clock skips is no reason to wait.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from sessions_app.policy.local_time import clock_change

DAY = 86_400
WEEK = 7 * DAY

Span = tuple[int, int]  # seconds since Monday's midnight; the end is no part of it


@dataclass(frozen=True, slots=True)
class Quiet:
    """Every day from `start` to `end`; over midnight when `end` is not later."""

    start: time
    end: time

    def __post_init__(self) -> None:
        if self.start == self.end:
            raise ValueError("quiet hours need a start and an end that differ")


@dataclass(frozen=True, slots=True)
class Hours:
    """When a restaurant sends: open spans of the week, in order and apart. Made by `opening_hours`."""

    zone: ZoneInfo
    spans: tuple[Span, ...] = ((0, WEEK),)

    @property
    def always(self) -> bool:
        return self.spans == ((0, WEEK),)


def opening_hours(
    zone: ZoneInfo, *, quiet: Quiet | None = None, windows: Mapping[int, Iterable[tuple[time, time]]] | None = None
) -> Hours:
    """`windows`: weekday (Monday is 0) → intervals, over midnight when the end is not later; None: all week. Raises
    ValueError when nothing is left to send in."""
    opened = [(0, WEEK)] if windows is None else [s for day, times in windows.items() for one in times for s in _spans(day, one)]
    closed = [] if quiet is None else [span for day in range(7) for span in _spans(day, (quiet.start, quiet.end))]
    spans = _without(_joined(opened), _joined(closed))
    if not spans:
        raise ValueError("these quiet hours and send windows leave no time to send")
    return Hours(zone, tuple(spans))


def next_open(hours: Hours, at: datetime) -> datetime:
    """`at` itself when it is open, else the first instant after it that is."""
    if hours.always:
        return at
    while True:
        second, fraction = _second(hours.zone, at)
        here = bisect_right(hours.spans, (second, WEEK))  # spans that start at or before this second
        if here and second < hours.spans[here - 1][1]:
            return at
        start = hours.spans[here][0] if here < len(hours.spans) else hours.spans[0][0] + WEEK
        opens = at + timedelta(seconds=start - second, microseconds=-fraction)
        change = clock_change(hours.zone, at, opens)
        if change is None:
            return opens
        at = change


def closed_hours(hours: Hours) -> Hours | None:
    """The other way round, so that `next_open` of it tells when `hours` close; None when they never do."""
    return None if hours.always else Hours(hours.zone, tuple(_without([(0, WEEK)], list(hours.spans))))


def _second(zone: ZoneInfo, at: datetime) -> tuple[int, int]:
    """What the clock shows, as seconds since Monday's midnight and microseconds."""
    clock = at.astimezone(zone)
    return clock.weekday() * DAY + clock.hour * 3_600 + clock.minute * 60 + clock.second, clock.microsecond


def _spans(day: int, interval: tuple[time, time]) -> list[Span]:
    start, end = (at.hour * 3_600 + at.minute * 60 + at.second for at in interval)
    first = day * DAY + start
    last = day * DAY + end + (DAY if end <= start else 0)
    return [(first, last)] if last <= WEEK else [(first, WEEK), (0, last - WEEK)]


def _joined(spans: list[Span]) -> list[Span]:
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _without(spans: list[Span], closed: list[Span]) -> list[Span]:
    left: list[Span] = []
    for start, end in spans:
        for shut, opens in closed:
            if shut > start:
                left.append((start, min(shut, end)))
            start = max(start, opens)
            if start >= end:
                break
        else:
            left.append((start, end))
    return left
