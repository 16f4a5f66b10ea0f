"""When each session's queue is looked into next."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from workers.agenda import MOST_STALE, Agenda

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


def session() -> Any:
    latest = SimpleNamespace(last_sent_at=None)
    pacer = SimpleNamespace(ledger=SimpleNamespace(latest=latest))
    return SimpleNamespace(pacer=pacer, due=None, slot=None, later=False, place=0, in_flight=False)


def test_a_session_comes_once_at_its_earliest_time() -> None:
    clock, owned = Clock(), session()
    agenda = Agenda(clock=clock, typing_max_ms=0)  # type: ignore[arg-type]
    for seconds in (60, 30, 45):
        agenda.add(owned, NOW + timedelta(seconds=seconds))
    clock.at = NOW + timedelta(seconds=30)
    assert agenda.take_due() == [owned]
    clock.at = NOW + timedelta(seconds=90)
    assert agenda.take_due() == []


def test_what_is_held_for_long_and_looked_for_again_and_again_leaves_no_trail() -> None:
    clock, held, other = Clock(), session(), session()
    agenda = Agenda(clock=clock, typing_max_ms=0)  # type: ignore[arg-type]
    tomorrow = NOW + timedelta(days=1)
    agenda.add(other, tomorrow)
    for _ in range(10 * MOST_STALE):
        agenda.add(held, tomorrow, later=True)
        agenda.add(held, clock.at)
        assert agenda.take_due() == [held]
    agenda.add(held, tomorrow)
    assert len(agenda._heap) < 3 * MOST_STALE
    clock.at = tomorrow
    assert agenda.take_due() == [other, held]
