"""The two clocks of a worker: the database's, for everything that is stored, and one that nobody sets, for its lease."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady() -> float:
    """Seconds that only run forward, through suspends too where the system offers that."""
    return time.clock_gettime(_STEADY)


LEAST_STEP = timedelta(seconds=1)


class DatabaseClock:
    """What the database's clock says now, told from its last known reading and the steady clock."""

    def __init__(self, steady: Callable[[], float] = steady) -> None:
        self._steady = steady
        self._read_at = steady()
        self._reading = datetime.now(UTC)
        self._known = False

    def sync(self, reading: datetime, *, asked_at: float, answered_at: float) -> timedelta:
        """Answers how far somebody has set the database's clock since the last reading; zero when it only drifted.

        When between question and answer it was read nobody knows: what was believed stays as long as it can be true, or the pace
        would gain and lose whatever a busy worker's answers are late.
        """
        uncertain = timedelta(seconds=answered_at - asked_at)
        step = reading + uncertain / 2 - self._at(answered_at) if self._known else timedelta()
        was_set = abs(step) > LEAST_STEP + uncertain
        believed = self._at(answered_at) if self._known and not was_set else reading + uncertain / 2
        self._reading, self._read_at, self._known = min(max(believed, reading), reading + uncertain), answered_at, True
        return step if was_set else timedelta()

    def now(self) -> datetime:
        return self._at(self._steady())

    def _at(self, steady: float) -> datetime:
        return self._reading + timedelta(seconds=steady - self._read_at)


class Lease:
    """Whether this worker may still act as an owner, by its own steady clock."""

    def __init__(self, *, ttl_s: float, margin_s: float, steady: Callable[[], float] = steady) -> None:
        if margin_s >= ttl_s:
            raise ValueError("the lease's margin must be shorter than the lease")
        self._good_for_s = ttl_s - margin_s
        self._steady = steady
        self._until: float | None = None

    def renewed(self, asked_at: float) -> None:
        """Counted from before the question: the database cannot have granted it any earlier."""
        self._until = asked_at + self._good_for_s

    def drop(self) -> None:
        self._until = None

    def held(self) -> bool:
        return self.left() > 0

    def left(self) -> float:
        """Seconds; 0 without one."""
        return 0.0 if self._until is None else max(0.0, self._until - self._steady())
