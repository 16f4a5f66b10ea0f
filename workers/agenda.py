"""When each session's queue is looked into next: a heap of due times."""

import asyncio
import heapq
from datetime import datetime, timedelta
from itertools import count

from sessions_app.policy.typing import claim_at
from workers.clocks import DatabaseClock
from workers.table import Owned

MOST_AT_ONCE = 1_000
MOST_STALE = 1_000  # and as many as are not


class Agenda:
    """A session has one place at most, its earliest; one whose message is under way has none."""

    def __init__(self, *, clock: DatabaseClock, typing_max_ms: int) -> None:
        self.changed = asyncio.Event()
        self._clock = clock
        self._typing_max_ms = typing_max_ms
        self._heap: list[tuple[datetime, int, Owned]] = []
        self._order = count(1)
        self._stale = 0  # places in the heap that a session no longer has

    def add(self, owned: Owned, slot: datetime, *, later: bool = False) -> None:
        """The claim comes as early as the longest typing takes, so that the message goes at its slot."""
        last = owned.pacer.ledger.latest.last_sent_at
        due = max(self._clock.now(), claim_at(slot=slot, last_sent_at=last, limit_ms=self._typing_max_ms))
        if owned.in_flight or (owned.due is not None and owned.due <= due):
            return
        self._stale += owned.due is not None
        owned.due, owned.slot, owned.later, owned.place = due, slot, later, next(self._order)
        heapq.heappush(self._heap, (due, owned.place, owned))
        self._tidy()
        self.changed.set()

    def take_due(self) -> list[Owned]:
        now = self._clock.now()
        due: list[Owned] = []
        while self._heap and self._heap[0][0] <= now and len(due) < MOST_AT_ONCE:
            _, place, owned = heapq.heappop(self._heap)
            if owned.place != place:  # it was scheduled earlier meanwhile
                self._stale -= 1
                continue
            owned.due, owned.place = None, 0
            if not owned.in_flight:
                due.append(owned)
        return due

    def seconds_left(self) -> float | None:
        return (self._heap[0][0] - self._clock.now()).total_seconds() if self._heap else None

    def _tidy(self) -> None:
        """What waits for a far time, and is looked for again and again, would leave a place for each look until then."""
        if self._stale > MOST_STALE and self._stale > len(self._heap) / 2:
            self._heap = [entry for entry in self._heap if entry[2].place == entry[1]]
            heapq.heapify(self._heap)
            self._stale = 0

    def shift(self, step: timedelta) -> None:
        """The database's clock was set; the table's times have been moved already."""
        self._heap = [(at + step, order, owned) for at, order, owned in self._heap]
        self.changed.set()
