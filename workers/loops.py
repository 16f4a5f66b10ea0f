"""Loops that outlive their errors, and end when they are cancelled."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog
from django.db import Error as DatabaseError

from workers.bridge import BridgeError
from workers.clocks import steady

log = structlog.get_logger(__name__)
LONGEST_PAUSE_S = 2.0
_PHASE = steady()  # another one in each worker, so that those of a machine do not all ask the database in the same moment
GATHER_S = 0.02  # what comes within a moment goes together


async def every(
    period_s: float,
    step: Callable[[], Awaitable[None]],
    *,
    name: str,
    kick: asyncio.Event | None = None,
    retry_s: float | None = None,
) -> None:
    """Runs `step` each `period_s`, and at once when kicked. An error is logged, and the pause grows to 2 s while it lasts; with
    `retry_s` it is that, and no longer than a period.

    Its periods end together with other loops': a process that has nothing to do pays for waking up, not for what it does.
    """
    failures = 0
    while True:
        if kick:
            kick.clear()
        failures = await attempt(step, name=name, failures=failures)
        pause = _pause(period_s, failures, retry_s) if failures else left_of(period_s, steady())
        await pause_for(pause, None if failures else kick)


def _pause(period_s: float, failures: int, retry_s: float | None) -> float:
    if retry_s is not None:
        return min(retry_s, period_s)
    return min(LONGEST_PAUSE_S, max(period_s, 0.1 * (1 << min(failures, 6))))


def left_of(period_s: float, now: float) -> float:
    """Seconds until the next multiple of the period; the one after it when that is too soon, as for a timer that came early."""
    left = period_s - (now - _PHASE) % period_s
    return left if left > period_s / 10 else left + period_s


async def attempt(step: Callable[[], Awaitable[None]], *, name: str, failures: int) -> int:
    """Answers how many times in a row it has failed now; 0 when it went well."""
    try:
        await step()
    except (DatabaseError, BridgeError, OSError) as error:
        log.warning("loop.failed", loop=name, failures=failures + 1, error=type(error).__name__, detail=str(error)[:300])
        return failures + 1
    except Exception:
        log.exception("loop.crashed", loop=name, failures=failures + 1)
        return failures + 1
    return 0


async def pause_for(seconds: float, kick: asyncio.Event | None) -> None:
    if kick is None:
        await asyncio.sleep(seconds)
        return
    await asyncio.sleep(0)  # a loop that is kicked all the time lets the others run, too
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # not wait_for: before Python 3.12 it loses a cancellation that comes with the kick
            await kick.wait()
