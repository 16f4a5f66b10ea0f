"""Budgets: never more than the limit in any hour or on any day of the restaurant, and no minute of waiting too many."""

from bisect import bisect_right
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.budgets import HOUR, Tally, counted, day_budget, hour_budget, hour_free_at, used_on_day
from sessions_app.policy.lanes import Lane
from sessions_app.policy.ledger import Ledger, noted
from sessions_app.policy.local_time import local_day, wall
from tests.policy.strategies import NOW, instants, lanes, unlimited, zones

BERLIN = ZoneInfo("Europe/Berlin")
gaps = st.lists(st.integers(0, 1_500_000), max_size=60).map(lambda all_: [timedelta(milliseconds=ms) for ms in all_])


def tally_of(zone: ZoneInfo, times: list[datetime], per_hour: int | None = 1_000) -> Tally:
    tally = Tally()
    for at in times:
        tally = counted(tally, at, 0.5, zone, per_hour=per_hour)
    return tally


def times_of(start: datetime, pauses: list[timedelta]) -> list[datetime]:
    return [start + sum(pauses[:n], timedelta()) for n in range(1, len(pauses) + 1)]


@given(zone=zones, start=instants, pauses=gaps, later=st.integers(0, 90_000).map(lambda s: timedelta(seconds=s)))
def test_it_counts_what_a_person_would_count(zone: ZoneInfo, start: datetime, pauses: list[timedelta], later: timedelta) -> None:
    times = times_of(start, pauses)
    tally, now = tally_of(zone, times), (times[-1] if times else start) + later
    today = wall(now, zone).date()
    assert day_budget(tally, 50, now, zone).used == sum(wall(at, zone).date() == today for at in times)
    assert hour_budget(tally, 50, now).used == sum(now - HOUR < at for at in times)


@given(start=instants, pauses=gaps, limit=st.integers(1, 40))
def test_the_hour_has_room_at_the_first_instant_that_it_has(start: datetime, pauses: list[timedelta], limit: int) -> None:
    times = times_of(start, pauses)
    tally, now = tally_of(BERLIN, times), times[-1] if times else start

    def within_the_hour(at: datetime) -> int:
        return len(times) - bisect_right(times, at - HOUR)

    free = hour_free_at(tally, limit, now)
    assert within_the_hour(free) < limit
    assert free == now or within_the_hour(free - timedelta(microseconds=1)) >= limit


@given(start=instants, pauses=gaps, limit=st.integers(1, 7), ahead=st.integers(0, 30))
def test_room_after_others_is_where_they_leave_it(start: datetime, pauses: list[timedelta], limit: int, ahead: int) -> None:
    tally = tally_of(BERLIN, times_of(start, pauses))
    now = tally.last_sent_at or start
    told = hour_free_at(tally, limit, now, ahead)
    for _ in range(ahead):
        now = hour_free_at(tally, limit, now)
        tally = counted(tally, now, 0.5, BERLIN, per_hour=limit)
    assert told == hour_free_at(tally, limit, now)


@given(start=instants, pauses=gaps, limit=st.integers(1, 7), ahead=st.integers(0, 30))
def test_as_many_as_the_limit_are_all_it_has_to_keep(start: datetime, pauses: list[timedelta], limit: int, ahead: int) -> None:
    times = times_of(start, pauses)
    whole, kept = tally_of(BERLIN, times), tally_of(BERLIN, times, limit)
    now = whole.last_sent_at or start
    assert len(kept.hour) <= limit
    assert hour_free_at(kept, limit, now, ahead) == hour_free_at(whole, limit, now, ahead)
    assert tally_of(BERLIN, times, None) == replace(whole, hour=())


@given(zone=zones, start=instants, pauses=gaps, limit=st.integers(1, 70))
def test_a_budget_adds_up_and_says_when_it_is_new(zone: ZoneInfo, start: datetime, pauses: list[timedelta], limit: int) -> None:
    tally = tally_of(zone, times_of(start, pauses))
    now = tally.last_sent_at or start
    day, hour = day_budget(tally, limit, now, zone), hour_budget(tally, limit, now)
    for budget in (day, hour):
        assert budget.limit == limit and budget.left == max(0, limit - budget.used)
    assert day.resets_at == local_day(zone, now).ends_at
    assert used_on_day(tally, day.resets_at) == 0
    if hour.resets_at is None:
        assert hour.used == 0
    else:
        assert hour_budget(tally, limit, hour.resets_at).used < hour.used
        assert hour_budget(tally, limit, hour.resets_at - timedelta(microseconds=1)).used == hour.used


def test_a_day_of_25_hours_is_one_day_and_one_of_23_ends_sooner() -> None:
    evening, morning = datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 22, 59, tzinfo=UTC)
    assert day_budget(tally_of(BERLIN, [evening, morning]), 9, morning, BERLIN).used == 2  # 00:00 and 23:59
    first, last = datetime(2026, 3, 28, 23, tzinfo=UTC), datetime(2026, 3, 29, 22, tzinfo=UTC)
    assert day_budget(tally_of(BERLIN, [first, last]), 9, last, BERLIN).used == 1
    assert local_day(BERLIN, last).date == date(2026, 3, 30)


def test_a_clock_that_steps_back_gives_no_room() -> None:
    tally = tally_of(BERLIN, [NOW, NOW - timedelta(minutes=5)])
    assert tally.hour == (NOW, NOW)
    assert tally.last_sent_at == NOW


def test_what_left_the_hour_is_forgotten() -> None:
    tally = tally_of(BERLIN, [NOW + timedelta(minutes=n) for n in range(300)])
    assert len(tally.hour) == 60


@given(first=lanes, second=lanes)
def test_each_lane_has_its_own_counters(first: Lane, second: Lane) -> None:
    ledger = noted(Ledger(), first, at=NOW, jitter=0.1, policy=unlimited(BERLIN))
    ledger = noted(ledger, second, at=NOW + timedelta(seconds=9), jitter=0.9, policy=unlimited(BERLIN))
    counted = [[first, second].count(lane) for lane in (Lane.WARM, Lane.NEW)]  # of strangers new chats alone
    assert [ledger.warm.sent_on_day, ledger.cold.sent_on_day] == counted
    assert len(ledger.cold.hour) == sum(lane is not Lane.WARM for lane in (first, second))
    assert (ledger.latest.last_sent_at, ledger.latest.jitter) == (NOW + timedelta(seconds=9), 0.9)


@given(first=lanes, second=lanes)
def test_of_two_in_one_instant_the_second_ones_pause_counts(first: Lane, second: Lane) -> None:
    ledger = noted(Ledger(), first, at=NOW, jitter=0.0, policy=unlimited(BERLIN))
    ledger = noted(ledger, second, at=NOW, jitter=0.7, policy=unlimited(BERLIN))
    assert (ledger.latest.last_sent_at, ledger.latest.jitter) == (NOW, 0.7)
