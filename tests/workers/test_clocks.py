"""The lease ends in time by a clock that nobody sets; the database's time is told between two readings."""

from datetime import UTC, datetime, timedelta

import pytest

from workers.clocks import DatabaseClock, Lease


class Hand:
    """A clock moved by hand; seconds."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        return self.at


def test_a_lease_ends_a_margin_before_the_database_would_end_it_counted_from_the_question() -> None:
    hand = Hand()
    lease = Lease(ttl_s=6, margin_s=1, steady=hand)
    assert not lease.held()
    lease.renewed(asked_at=99.0)
    hand.at = 103.999
    assert lease.held()
    hand.at = 104.0
    assert not lease.held()


def test_a_lease_that_is_dropped_is_not_held() -> None:
    hand = Hand()
    lease = Lease(ttl_s=6, margin_s=1, steady=hand)
    lease.renewed(asked_at=100.0)
    lease.drop()
    assert not lease.held()


def test_a_margin_as_long_as_the_lease_is_refused() -> None:
    with pytest.raises(ValueError, match="margin"):
        Lease(ttl_s=6, margin_s=6)


def test_the_databases_time_is_told_from_its_last_reading() -> None:
    hand, reading = Hand(), datetime(2026, 3, 1, 12, tzinfo=UTC)
    clock = DatabaseClock(steady=hand)
    clock.sync(reading, asked_at=100.0, answered_at=100.2)
    hand.at = 103.1
    assert clock.now() == reading + timedelta(seconds=3)


def test_a_clock_that_was_set_is_told_from_one_that_drifts() -> None:
    hand, reading = Hand(), datetime(2026, 3, 1, 12, tzinfo=UTC)
    clock = DatabaseClock(steady=hand)
    assert clock.sync(reading, asked_at=100.0, answered_at=100.0) == timedelta(), "the first reading is no step"
    minute = timedelta(minutes=1)
    assert clock.sync(reading + timedelta(seconds=2.4), asked_at=102.0, answered_at=102.0) == timedelta()
    assert clock.sync(reading + timedelta(seconds=4.4) - minute, asked_at=104.0, answered_at=104.0) == -minute
    assert clock.sync(reading + timedelta(seconds=6.4), asked_at=106.0, answered_at=106.0) == minute


def test_an_answer_that_took_long_is_no_step() -> None:
    hand, reading = Hand(), datetime(2026, 3, 1, 12, tzinfo=UTC)
    clock = DatabaseClock(steady=hand)
    clock.sync(reading, asked_at=100.0, answered_at=100.0)
    assert clock.sync(reading + timedelta(seconds=0.1), asked_at=100.0, answered_at=106.0) == timedelta()


def test_a_reading_that_was_late_changes_nothing_that_can_be_true() -> None:
    hand, reading = Hand(), datetime(2026, 3, 1, 12, tzinfo=UTC)
    clock = DatabaseClock(steady=hand)
    clock.sync(reading, asked_at=100.0, answered_at=100.0)
    hand.at = 102.3
    clock.sync(reading + timedelta(seconds=2), asked_at=102.0, answered_at=102.3)
    assert clock.now() == reading + timedelta(seconds=2.3)
    hand.at = 104.1
    clock.sync(reading + timedelta(seconds=4.5), asked_at=104.0, answered_at=104.1)
    assert clock.now() == reading + timedelta(seconds=4.5), "no more than the reading demands"
