"""Quiet hours and send windows by the clock on the wall: never in them, never a day too long."""

from bisect import bisect_right
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.local_time import wall
from sessions_app.policy.windows import WEEK, Hours, Quiet, closed_hours, next_open, opening_hours
from tests.policy.strategies import hours_of, instants, intervals, quiets, windows, zones

BERLIN, NEW_YORK, SANTIAGO = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("America/Santiago")
BEIRUT, AZORES = ZoneInfo("Asia/Beirut"), ZoneInfo("Atlantic/Azores")
Windows = Mapping[int, list[tuple[time, time]]]


def quiet_on_the_wall(quiet: Quiet, at: datetime, zone: ZoneInfo) -> bool:
    """Said another way than the product says it."""
    shown = wall(at, zone).time()
    inside = quiet.start <= shown < quiet.end
    return inside if quiet.start < quiet.end else shown >= quiet.start or shown < quiet.end


def in_a_window(spans: Windows, at: datetime, zone: ZoneInfo) -> bool:
    shown = wall(at, zone)
    today = spans.get(shown.weekday(), [])
    yesterday = spans.get((shown.weekday() - 1) % 7, [])
    return any((s <= shown.time() < e) if s < e else shown.time() >= s for s, e in today) or any(
        shown.time() < e for s, e in yesterday if e <= s
    )


@given(zone=zones, quiet=quiets, at=instants)
def test_it_is_never_inside_quiet_hours_and_waits_no_second_too_long(zone: ZoneInfo, quiet: Quiet, at: datetime) -> None:
    opens = next_open(opening_hours(zone, quiet=quiet), at)
    assert not quiet_on_the_wall(quiet, opens, zone)
    assert (opens == at) == (not quiet_on_the_wall(quiet, at, zone))
    assert at <= opens <= at + timedelta(hours=26)
    waits = int((opens - at) / timedelta(minutes=5))
    assert all(quiet_on_the_wall(quiet, at + timedelta(minutes=5) * n, zone) for n in range(waits))
    assert opens == at or quiet_on_the_wall(quiet, opens - timedelta(milliseconds=1), zone)


@given(zone=zones, spans=windows, quiet=st.none() | quiets, at=instants)
def test_it_is_inside_a_window_and_outside_quiet_hours(zone: ZoneInfo, spans: Windows, quiet: Quiet | None, at: datetime) -> None:
    try:
        hours = opening_hours(zone, quiet=quiet, windows=spans)
    except ValueError:
        assert quiet is not None
        return

    def is_open(moment: datetime) -> bool:
        return in_a_window(spans, moment, zone) and not (quiet is not None and quiet_on_the_wall(quiet, moment, zone))

    opens = next_open(hours, at)
    assert is_open(opens)
    assert (opens == at) == is_open(at)
    assert opens - at <= timedelta(days=15)  # a window that the clock skips comes again a week later
    waits = min(2_000, int((opens - at) / timedelta(minutes=15)))
    assert not any(is_open(at + timedelta(minutes=15) * n) for n in range(waits))


@given(hours=hours_of(), at=instants)
def test_closing_is_the_other_way_round(hours: Hours, at: datetime) -> None:
    shut = closed_hours(hours)
    if shut is None:
        assert next_open(hours, at) == at
        return
    closes = next_open(shut, next_open(hours, at))
    assert next_open(hours, closes) > closes
    assert next_open(hours, closes - timedelta(milliseconds=1)) == closes - timedelta(milliseconds=1)


NIGHT = Quiet(time(22), time(8))
DST = [
    # zone, quiet hours, asked at, opens at (both UTC), and what is special about it
    (BERLIN, NIGHT, "2026-03-28 21:00", "2026-03-29 06:00", "spring, the night is an hour shorter"),
    (BERLIN, NIGHT, "2026-10-24 20:00", "2026-10-25 07:00", "autumn, the night is an hour longer"),
    (NEW_YORK, NIGHT, "2026-03-08 03:00", "2026-03-08 12:00", "the same in New York"),
    (NEW_YORK, NIGHT, "2026-11-01 02:00", "2026-11-01 13:00", "the same in New York in autumn"),
    (BERLIN, Quiet(time(22), time(2, 30)), "2026-03-29 00:00", "2026-03-29 01:00", "the end is skipped"),
    (BERLIN, Quiet(time(2, 30), time(8)), "2026-03-29 01:00", "2026-03-29 06:00", "the start is skipped"),
    (BERLIN, Quiet(time(2), time(3)), "2026-03-29 01:00", "2026-03-29 01:00", "all of it is skipped, no reason to wait"),
    (BERLIN, Quiet(time(22), time(2, 30)), "2026-10-25 00:10", "2026-10-25 00:30", "shown twice, the first time"),
    (BERLIN, Quiet(time(22), time(2, 30)), "2026-10-25 00:45", "2026-10-25 00:45", "shown twice, open in between"),
    (BERLIN, Quiet(time(22), time(2, 30)), "2026-10-25 01:10", "2026-10-25 01:30", "shown twice, the second time"),
    (SANTIAGO, Quiet(time(22), time(0)), "2026-09-06 02:00", "2026-09-06 04:00", "midnight is skipped"),
    (SANTIAGO, Quiet(time(22), time(0)), "2026-04-05 01:30", "2026-04-05 04:00", "the last hour comes twice"),
    (BEIRUT, Quiet(time(23), time(0, 30)), "2026-03-28 21:30", "2026-03-28 22:00", "midnight and the end are skipped"),
    (AZORES, Quiet(time(23), time(0, 30)), "2026-10-25 01:10", "2026-10-25 01:30", "midnight comes twice"),
]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(("zone", "quiet", "at", "opens"), [row[:4] for row in DST], ids=[row[4] for row in DST])
def test_nights_in_which_the_clock_is_set(zone: ZoneInfo, quiet: Quiet, at: str, opens: str) -> None:
    assert next_open(opening_hours(zone, quiet=quiet), utc(at)) == utc(opens)


def test_a_window_that_the_clock_shows_twice_opens_twice() -> None:
    hours = opening_hours(BERLIN, windows={6: [(time(2), time(2, 45))]})
    assert next_open(hours, datetime(2026, 10, 25, 0, 50, tzinfo=UTC)) == datetime(2026, 10, 25, 1, tzinfo=UTC)


def test_a_window_that_the_clock_skips_is_waited_for_until_the_next() -> None:
    hours = opening_hours(BERLIN, windows={6: [(time(2), time(2, 45))]})
    assert next_open(hours, datetime(2026, 3, 28, 12, tzinfo=UTC)) == datetime(2026, 4, 5, 0, tzinfo=UTC)


def test_windows_over_midnight_and_over_the_week_s_end() -> None:
    hours = opening_hours(BERLIN, windows={6: [(time(18), time(2))]})  # Sunday evening to Monday morning
    monday = datetime(2026, 6, 1, tzinfo=BERLIN).astimezone(UTC)
    assert next_open(hours, monday + timedelta(hours=1)) == monday + timedelta(hours=1)
    assert next_open(hours, monday + timedelta(hours=2)) == monday + timedelta(days=6, hours=18)


def test_equal_ends_are_a_whole_day_for_a_window_and_nothing_sensible_for_quiet_hours() -> None:
    assert opening_hours(BERLIN, windows={day: [(time(0), time(0))] for day in range(7)}).always
    with pytest.raises(ValueError, match="differ"):
        Quiet(time(9), time(9))


def test_hours_that_never_open_are_refused() -> None:
    with pytest.raises(ValueError, match="no time to send"):
        opening_hours(BERLIN, quiet=Quiet(time(8), time(23)), windows={0: [(time(9), time(22))]})
    with pytest.raises(ValueError, match="no time to send"):
        opening_hours(BERLIN, windows={})


@given(zone=zones, spans=windows, more=intervals)
def test_spans_are_in_order_and_apart(zone: ZoneInfo, spans: Windows, more: tuple[time, time]) -> None:
    got = opening_hours(zone, windows={**spans, 3: [more, more]}).spans
    flat = [edge for span in got for edge in span]
    assert flat == sorted(set(flat)) and flat[0] >= 0 and flat[-1] <= WEEK
    assert bisect_right(got, (WEEK, WEEK)) == len(got)
