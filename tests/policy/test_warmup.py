"""Warm-up: the ramp rises by good days alone."""

from dataclasses import replace
from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.warmup import RAMP, WarmUp, good_days, strangers_a_day
from tests.policy.strategies import dates, warm_ups

START = date(2026, 3, 1)
DAY = timedelta(days=1)


def limits(warm_up: WarmUp, days: int, start: date = START) -> list[int | None]:
    return [strangers_a_day(good_days(warm_up, start + n * DAY)) for n in range(days)]


def test_it_rises_day_by_day_and_is_over_then() -> None:
    assert limits(WarmUp(START), 8) == [10, 15, 25, 40, 60, 80, None, None]


def test_a_day_with_a_signal_is_done_again() -> None:
    warm_up = WarmUp(START, frozenset({START + DAY}))
    assert limits(warm_up, 6) == [10, 15, 15, 25, 40, 60]


def test_a_ban_starts_it_anew_and_old_signals_are_forgotten() -> None:
    warm_up = WarmUp(START, frozenset({START + DAY}), restarted_on=START + 20 * DAY)
    assert limits(warm_up, 3, START + 20 * DAY) == [10, 15, 25]


def test_an_operator_can_say_how_old_a_number_is() -> None:
    assert limits(declared(4, START), 3) == [60, 80, None]
    assert limits(declared(400, START), 1) == [None]
    assert limits(replace(declared(0, START), started_on=START - 99 * DAY), 2) == [10, 15]


def test_what_came_last_counts() -> None:
    banned = START + 10 * DAY
    assert limits(replace(declared(5, START + 3 * DAY), restarted_on=banned), 1, banned) == [10]
    assert limits(replace(declared(3, START + 12 * DAY), restarted_on=banned), 2, START + 12 * DAY) == [40, 60]


def declared(days: int, on: date) -> WarmUp:
    return WarmUp(START, declared_on=on, declared_days=days)


@given(warm_up=warm_ups, today=dates)
def test_good_days_never_fall_and_rise_by_one_at_most(warm_up: WarmUp, today: date) -> None:
    events = [day for day in (warm_up.restarted_on, warm_up.declared_on) if day is not None]
    if any(day == today + DAY for day in events):
        return
    rise = good_days(warm_up, today + DAY) - good_days(warm_up, today)
    assert 0 <= rise <= 1
    if today in warm_up.signal_days:
        assert rise == 0


@given(warm_up=warm_ups, today=dates, on=dates)
def test_a_signal_never_makes_it_faster(warm_up: WarmUp, today: date, on: date) -> None:
    once = replace(warm_up, signal_days=warm_up.signal_days | {on})
    assert good_days(once, today) <= good_days(warm_up, today)
    if on >= today:
        assert good_days(once, today) == good_days(warm_up, today)


@given(good=st.integers(0, 1_000))
def test_the_ramp_never_falls_and_ends(good: int) -> None:
    limit, later = strangers_a_day(good), strangers_a_day(good + 1)
    assert (limit is None) == (good >= len(RAMP))
    assert later is None or (limit is not None and later >= limit)
