"""Asks WhatsApp again when a restriction of a number is said to end. What it says comes back as facts, by the web side.

The bridge asks by itself after each login and after a 463; `Owned.asked_at` counts those, too, so that nothing is asked twice.
"""

import asyncio
import heapq
from datetime import datetime

import structlog

from sessions_app.policy.restrictions import DEBOUNCE, ask_at, restricted
from workers.bridge import Bridge, BridgeError
from workers.clocks import DatabaseClock, Lease
from workers.table import Owned, Table

log = structlog.get_logger(__name__)
MOST_AT_ONCE = 16  # the numbers of one restriction, or of one cycle, do not all ask in one moment


class Inquiries:
    def __init__(self, *, table: Table, bridge: Bridge, clock: DatabaseClock, lease: Lease) -> None:
        self._table = table
        self._bridge = bridge
        self._clock = clock
        self._lease = lease

    def refused(self, owned: Owned, at: datetime) -> None:
        """A 463, for which the bridge asks by itself, but once a minute at most."""
        if owned.asked_at is None or at - owned.asked_at >= DEBOUNCE:
            owned.asked_at = at

    async def ask(self) -> None:
        """For those that have waited longest; the others' turn comes with the next call."""
        now = self._clock.now()
        due = [(at, owned) for owned in self._table if (at := self._due(owned)) is not None and at <= now]
        turn = heapq.nsmallest(MOST_AT_ONCE, due, key=lambda one: one[0])
        await asyncio.gather(*(self._ask(owned, now) for _, owned in turn))

    def _due(self, owned: Owned) -> datetime | None:
        known = owned.pacer.number.known
        return ask_at(known, owned.asked_at) if restricted(known) and owned.may_send else None

    async def _ask(self, owned: Owned, now: datetime) -> None:
        if not self._lease.held():
            return
        owned.asked_at = now
        try:
            await self._bridge.ask_restrictions(owned.id, term=owned.term)
        except BridgeError as error:
            log.warning("restrictions.not_asked", session=str(owned.id), error=str(error)[:300])
        else:
            log.info("restrictions.asked", session=str(owned.id))
