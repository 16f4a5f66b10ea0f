"""Loops outlive their errors and end when they are cancelled, whatever comes at that moment."""

import asyncio

import pytest

from workers import loops
from workers.loops import every, left_of


@pytest.mark.parametrize("turns", range(4))
def test_a_kick_in_the_moment_of_cancellation_does_not_keep_a_loop_alive(turns: int) -> None:
    async def run() -> bool:
        kick, begun = asyncio.Event(), asyncio.Event()

        async def step() -> None:
            begun.set()

        loop = asyncio.create_task(every(3_600, step, name="test", kick=kick))
        await begun.wait()
        await _turns(10)  # it waits for the kick now
        kick.set()
        await _turns(turns)  # the kick is on its way
        loop.cancel()
        await asyncio.wait({loop}, timeout=2)
        return loop.cancelled()

    assert asyncio.run(run())


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_loop_outlives_its_errors_and_runs_at_once_when_kicked() -> None:
    async def run() -> int:
        kick, runs, twice = asyncio.Event(), 0, asyncio.Event()

        async def step() -> None:
            nonlocal runs
            runs += 1
            if runs == 1:
                raise OSError("away")
            if runs == 3:
                twice.set()
            kick.set()

        loop = asyncio.create_task(every(3_600, step, name="test", kick=kick))
        await asyncio.wait_for(twice.wait(), 10)
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        return runs

    assert asyncio.run(run()) >= 3


@pytest.mark.parametrize(("retry_s", "pauses"), [(0.5, [0.5, 0.5, 0.5]), (None, [2.0, 2.0, 2.0]), (9.0, [2.0, 2.0, 2.0])])
def test_how_soon_a_step_that_failed_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, retry_s: float | None, pauses: list[float]
) -> None:
    slept: list[float] = []

    async def pause_for(seconds: float, kick: asyncio.Event | None) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise asyncio.CancelledError

    async def fail() -> None:
        raise OSError("away")

    monkeypatch.setattr(loops, "pause_for", pause_for)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(every(2.0, fail, name="test", retry_s=retry_s))
    assert slept == pauses


@pytest.mark.parametrize("period_s", [0.25, 1.0, 2.0, 30.0])
@pytest.mark.parametrize("now", [1.0, 1234.56, 98_765.4321])
def test_periods_end_together_and_never_at_once(period_s: float, now: float) -> None:
    left = left_of(period_s, now)
    assert period_s / 10 < left <= 1.1 * period_s
    assert left_of(period_s, now + left) == pytest.approx(period_s, abs=1e-6)
    assert left_of(0.25, now + left) == pytest.approx(0.25, abs=1e-6)  # the shortest period ends then, too
