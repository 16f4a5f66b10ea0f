"""The pace: never faster than the policy, at once when idle."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.pacing import History, Pace, delay_ms, effective_pace, next_send_at
from sessions_app.policy.typing import typing_ms

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
paces = st.tuples(st.integers(0, 60_000), st.integers(0, 60_000)).map(lambda bounds: Pace(min(bounds), max(bounds)))
jitters = st.floats(0, 1, exclude_max=True)
gaps = st.integers(0, 3_600_000).map(lambda ms: timedelta(milliseconds=ms))


def test_the_first_message_goes_at_once() -> None:
    assert next_send_at(Pace(2_000, 10_000), History(), NOW, 0.9) == NOW


@given(pace=paces, jitter=jitters, idle=gaps)
def test_it_never_goes_faster_nor_slower_than_the_policy(pace: Pace, jitter: float, idle: timedelta) -> None:
    last = NOW - idle
    at = next_send_at(pace, History(last_sent_at=last), NOW, jitter)
    assert at >= NOW
    assert at - last >= timedelta(milliseconds=pace.min_ms)
    assert at == NOW or at - last <= timedelta(milliseconds=pace.max_ms)


@given(pace=paces, jitter=jitters)
def test_an_idle_session_sends_at_once(pace: Pace, jitter: float) -> None:
    last = NOW - timedelta(milliseconds=pace.max_ms)
    assert next_send_at(pace, History(last_sent_at=last), NOW, jitter) == NOW


@given(pace=paces, jitter=jitters)
def test_the_pause_lies_within_the_bounds(pace: Pace, jitter: float) -> None:
    assert pace.min_ms <= delay_ms(pace, jitter) <= pace.max_ms


def test_pauses_are_spread_evenly() -> None:
    pauses = [delay_ms(Pace(2_000, 10_000), n / 1_000) for n in range(1_000)]
    assert min(pauses) == 2_000
    assert max(pauses) == pytest.approx(10_000, abs=10)
    assert sum(pauses) / len(pauses) == pytest.approx(6_000, abs=10)


@given(bounds=st.tuples(st.none() | st.integers(0, 60_000), st.none() | st.integers(0, 60_000)))
def test_a_restaurants_bounds_hold_over_the_default(bounds: tuple[int | None, int | None]) -> None:
    low, high = bounds
    if low is not None and high is not None and low > high:
        with pytest.raises(ValueError, match="shortest"):
            effective_pace(default=Pace(2_000, 10_000), min_ms=low, max_ms=high)
        return
    pace = effective_pace(default=Pace(2_000, 10_000), min_ms=low, max_ms=high)
    assert low is None or pace.min_ms == low
    assert high is None or pace.max_ms == high


@given(characters=st.integers(0, 4_000), per_character=st.integers(0, 100), limit=st.integers(0, 5_000))
def test_typing_grows_with_the_text_up_to_the_limit(characters: int, per_character: int, limit: int) -> None:
    shown = typing_ms(characters, per_character_ms=per_character, limit_ms=limit)
    assert 0 <= shown <= limit
    assert shown <= typing_ms(characters + 1, per_character_ms=per_character, limit_ms=limit)
