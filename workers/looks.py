"""What a worker learns from its sessions' rows: wishes and messages, told by a wake-up or found without one; sessions that were
taken away, and claims that nobody heard of."""

import asyncio
from collections.abc import Iterable
from uuid import UUID

import structlog

from sessions_app.services import ledgers, rules, session_state, tallies
from workers import pacer
from workers.clocks import DatabaseClock
from workers.database import Database
from workers.drain import Drain
from workers.links import Links
from workers.loops import GATHER_S
from workers.ownership import Ownership
from workers.table import Owned, Table
from workers.truths import Truths

log = structlog.get_logger(__name__)
LOOKS_FOR_ALL = 10


class Looks:
    def __init__(
        self,
        *,
        table: Table,
        database: Database,
        clock: DatabaseClock,
        ownership: Ownership,
        links: Links,
        truths: Truths,
        drain: Drain,
    ) -> None:
        self.woken = asyncio.Event()
        self._table = table
        self._database = database
        self._clock = clock
        self._ownership = ownership
        self._links = links
        self._truths = truths
        self._drain = drain
        self._to_wake: set[UUID] = set()
        self._upto = 0
        self._looks = 0
        self._uncounted: set[UUID] = set()

    def wake(self, sessions: Iterable[UUID]) -> None:
        """A hint that these sessions have a message or a wish."""
        self._to_wake.update(sessions)
        self.woken.set()

    async def take_wakes(self) -> None:
        """Of all that came within a moment, at once."""
        if not self._to_wake:
            return
        await asyncio.sleep(GATHER_S)
        woken, self._to_wake = self._to_wake, set()
        mine = [owned for owned in map(self._table.get, woken) if owned]
        worker = self._ownership.worker
        if mine and worker:
            await self._take_rows(
                await self._database.call(session_state.load, worker=worker, sessions=[owned.id for owned in mine])
            )
        for owned in mine:  # only now: what woke them may be a restriction that holds what waits
            if owned.may_send and not self._drain.paused:
                self._drain.schedule(owned)

    async def look(self) -> None:
        """For what no wake-up told of."""
        worker = self._ownership.worker
        if worker is None:
            return
        believed, unreadable = {owned.id: owned for owned in self._table}, self._ownership.unreadable
        self._looks += 1
        again = bool(unreadable) and self._looks % LOOKS_FOR_ALL == 0
        if again or await self._database.call(session_state.count, worker=worker) != len(believed) + len(unreadable):
            rows, looked_at = await self._database.call(session_state.load, worker=worker), list(believed)
            unreadable &= {row.id for row in rows}
            await self._ownership.adopt(rows)
        else:
            looked_at = self._next_few(list(believed))
            rows = await self._database.call(session_state.load, worker=worker, sessions=looked_at, restless=True)
        await self._take_rows(rows)
        for session in set(looked_at) - {row.id for row in rows}:
            self._lost(believed[session])
        await self._drain.look()

    def _next_few(self, sessions: list[UUID]) -> list[UUID]:
        """All in turn, each once in `LOOKS_FOR_ALL` looks: thousands at once would hold up the sends that are due meanwhile."""
        few = -(-len(sessions) // LOOKS_FOR_ALL)
        self._upto = self._upto if self._upto < len(sessions) else 0
        begin, self._upto = self._upto, self._upto + few
        return sessions[begin : self._upto]

    def _lost(self, owned: Owned) -> None:
        if self._table.holds(owned) and not owned.leaving:  # a release is written before the table forgets it
            self._links.lose(owned)

    async def _take_rows(self, rows: Iterable[session_state.SessionRow]) -> None:
        learned = []
        for row in rows:
            if owned := self._table.get(row.id):
                try:
                    if self._learn(owned, row):
                        learned.append(owned)
                except Exception:  # of a later version; it goes by what it knew
                    log.exception("session.cannot_be_read", session=str(row.id))
                if row.state != owned.truth.state:  # nothing is claimed for a session whose row says otherwise
                    self._truths.mark(owned)
                self._links.take_wishes(row)
        try:
            await self._count_anew()
        finally:
            for owned in learned:
                self._drain.look_again(owned)

    def _learn(self, owned: Owned, row: session_state.SessionRow) -> bool:
        """Whether its restaurant has chosen otherwise, or more is known of the number."""
        before = owned.row
        if _known(row) == _known(before):
            return False
        owned.pacer.rules, owned.pacer.number = rules.of(row.chosen), pacer.number_of(row, self._clock.now())
        if before.first_linked_at not in (None, row.first_linked_at):
            owned.pacer.ledger = ledgers.of_another_number(owned.pacer.ledger)
        if _counts_as(row) != _counts_as(before):
            self._uncounted.add(owned.id)
        return True

    async def _count_anew(self) -> None:
        """Of sessions with another hourly limit, whose last hour was kept as the one before asked for, or with another clock."""
        if not self._uncounted:
            return
        some = set(self._uncounted)
        sent = await self._database.call(tallies.recent, sessions=list(some))
        self._uncounted -= some
        for owned in filter(None, map(self._table.get, some)):
            policy, now = owned.pacer.rules.policy, self._clock.now()
            owned.pacer.ledger = ledgers.recounted(owned.pacer.ledger, sent.get(owned.id, ()), policy=policy, now=now)


def _counts_as(row: session_state.SessionRow) -> tuple[object, ...]:
    return row.chosen.hourly_limit, row.chosen.time_zone


def _known(row: session_state.SessionRow) -> tuple[object, ...]:
    return row.chosen, row.standing, row.first_linked_at, row.declared_on, row.declared_days
