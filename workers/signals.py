"""Listens to what the bridge says of its sessions, and compares now and then what both sides hold."""

import asyncio

import structlog

from workers.bridge import Bridge
from workers.links import Links
from workers.table import Table

log = structlog.get_logger(__name__)


class Signals:
    def __init__(self, *, table: Table, bridge: Bridge, links: Links) -> None:
        self.started = asyncio.Event()
        self._table = table
        self._bridge = bridge
        self._links = links

    async def follow(self) -> None:
        """Until the stream breaks; the caller starts it again. It begins with the whole state, so nothing is missed."""
        if not self._bridge.base_url:
            return
        self.started.set()
        async for status in self._bridge.signals():
            self._links.take_status(status)

    async def compare(self) -> None:
        """Heals what the stream cannot tell: sessions the bridge has lost, and sockets that nobody owns here."""
        if not self._bridge.base_url:
            return
        heard = {owned.id: owned.heard for owned in self._table if owned.open != "no" and not owned.acting}
        statuses = {status.session: status for status in await self._bridge.sessions()}
        for session, count in heard.items():
            owned = self._table.get(session)
            if owned is None or owned.heard != count or owned.acting:
                continue
            if (status := statuses.get(session)) is None:
                self._links.closed(owned, "connection_lost")
            elif status.state == "closed":  # the stream tells it, when it is over
                continue
            elif not (owned.settled and status.state == "connected"):  # nothing new: not a row is written
                self._links.take_status(status)
        for status in statuses.values():
            owned = self._table.get(status.session)
            if owned is None or owned.term > status.term:
                log.warning("bridge.orphan_closed", session=str(status.session), term=status.term)
                await self._bridge.close(status.session, term=status.term)
