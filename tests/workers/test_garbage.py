"""What thousands of sessions hold is set aside from Python's collector, once they are there."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from workers.garbage import WORTH_IT, Garbage


class Held:
    """With a cycle: no reference count frees it."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def nothing_set_aside() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def steps(garbage: Garbage, count: int = 1) -> int:
    """How much is set aside after so many looks."""
    for _ in range(count):
        asyncio.run(garbage.set_aside())
    return gc.get_freeze_count()


def test_it_waits_until_no_more_sessions_come() -> None:
    sessions = list(range(WORTH_IT))
    garbage = Garbage(lambda: len(sessions))
    assert steps(garbage) == 0
    sessions.append(0)
    assert steps(garbage) == 0
    assert steps(garbage) > 0


def test_a_few_more_or_less_are_not_worth_the_pause() -> None:
    sessions = list(range(WORTH_IT))
    garbage = Garbage(lambda: len(sessions))
    steps(garbage, 2)
    gc.unfreeze()
    sessions.append(0)
    assert steps(garbage, 3) == 0
    sessions.clear()
    assert steps(garbage, 2) > 0


def test_what_is_garbage_already_is_not_kept() -> None:
    gc.disable()
    try:
        Held()
        steps(Garbage(lambda: WORTH_IT), 2)
        gc.unfreeze()
        assert not any(type(one) is Held for one in gc.get_objects())
    finally:
        gc.enable()
