"""The pace: never faster than the policy, at once when idle."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.pacing import History, Pace, delay_ms, effective_pace, next_send_at, slowed_send_at

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


@given(pace=paces, jitter=jitters, idle=gaps, slow=st.none() | gaps, later=gaps)
def test_a_slow_pause_is_longer_until_it_ends_and_asking_later_never_answers_earlier(
    pace: Pace, jitter: float, idle: timedelta, slow: timedelta | None, later: timedelta
) -> None:
    history, until = History(NOW - idle), None if slow is None else NOW - idle / 2 + slow

    def asked(now: datetime) -> datetime:
        return slowed_send_at(pace, 2, until, history, now, jitter)

    plain, at = next_send_at(pace, history, NOW, jitter), asked(NOW)
    assert at >= plain
    assert at == plain or (until is not None and at <= until)
    if until is not None and at < until:
        assert at - (NOW - idle) >= timedelta(milliseconds=2 * delay_ms(pace, jitter))
    assert asked(at) == at
    assert asked(min(NOW + later, at)) == at
    assert asked(NOW + later) >= NOW + later


@given(pace=paces)
def test_the_mean_is_that_of_many_throws(pace: Pace) -> None:
    throws = [delay_ms(pace, n / 100) for n in range(101)]
    assert pace.mean / timedelta(milliseconds=1) == pytest.approx(sum(throws) / len(throws), abs=1)
