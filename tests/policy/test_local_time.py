"""Days of a place: one after the other, without a gap, also where its clock is set."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given

from sessions_app.policy.local_time import clock_change, local_day, next_midnight, wall
from tests.policy.strategies import instants, zones

SECOND = timedelta(seconds=1)
HOURS = [
    ("Europe/Berlin", date(2026, 3, 29), 23),
    ("Europe/Berlin", date(2026, 10, 25), 25),
    ("America/New_York", date(2026, 3, 8), 23),
    ("America/New_York", date(2026, 11, 1), 25),
    ("America/Santiago", date(2026, 9, 6), 23),  # begins at 01:00
    ("America/Santiago", date(2026, 4, 4), 25),  # its last hour is shown twice
    ("Asia/Beirut", date(2026, 3, 29), 23),
    ("Asia/Beirut", date(2026, 10, 24), 25),
    ("Atlantic/Azores", date(2026, 10, 25), 25),  # its first hour is shown twice
    ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
    ("Antarctica/Troll", date(2026, 10, 25), 26),
    ("Asia/Kolkata", date(2026, 3, 29), 24),
]


@pytest.mark.parametrize(("name", "day", "hours"), HOURS)
def test_a_day_is_as_long_as_the_clock_makes_it(name: str, day: date, hours: float) -> None:
    zone = ZoneInfo(name)
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=zone).astimezone(UTC)
    got = local_day(zone, noon)
    assert got.date == day
    assert got.ends_at - got.starts_at == timedelta(hours=hours)


@given(zone=zones, at=instants)
def test_every_instant_lies_in_its_day_and_days_meet(zone: ZoneInfo, at: datetime) -> None:
    day = local_day(zone, at)
    assert day.starts_at <= at < day.ends_at
    assert wall(at, zone).date() == wall(day.starts_at, zone).date() == wall(day.ends_at - SECOND, zone).date() == day.date
    tomorrow = local_day(zone, day.ends_at)
    assert tomorrow.starts_at == day.ends_at
    assert tomorrow.date == day.date + timedelta(days=1)
    assert local_day(zone, day.starts_at) == local_day(zone, day.ends_at - SECOND) == day


@given(zone=zones, at=instants)
def test_midnight_is_the_first_instant_of_the_next_day(zone: ZoneInfo, at: datetime) -> None:
    midnight = next_midnight(zone, at)
    assert wall(midnight, zone).date() > wall(at, zone).date()
    assert wall(midnight - SECOND / 1_000, zone).date() == wall(at, zone).date()


@given(zone=zones, at=instants)
def test_a_change_of_the_clock_is_found_to_the_second(zone: ZoneInfo, at: datetime) -> None:
    change = clock_change(zone, at, at + timedelta(days=2))
    offsets = [(at + timedelta(days=2) * n / 200).astimezone(zone).utcoffset() for n in range(201)]
    if change is None:
        assert len(set(offsets)) == 1
    else:
        assert at < change <= at + timedelta(days=2)
        before, after = (moment.astimezone(zone).utcoffset() for moment in (change - SECOND, change))
        assert before != after
