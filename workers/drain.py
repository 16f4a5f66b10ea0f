"""Drains the queues: a heap of due times, one claim and one settlement for all sessions of a tick, a task for each send."""

import asyncio
import contextlib
import heapq
import random
from collections.abc import Callable
from datetime import datetime
from itertools import count
from uuid import UUID

import structlog
from django.db import InterfaceError, OperationalError

from sessions_app.policy import pacing
from sessions_app.policy.retry import Next, Outcome, Verdict, judge
from sessions_app.policy.typing import typing_ms
from sessions_app.services import sending
from sessions_app.services.sending import Claim, Settlement
from workers.bridge import Bridge
from workers.clocks import DatabaseClock, Lease
from workers.config import Config
from workers.database import Database
from workers.table import Owned, Table

log = structlog.get_logger(__name__)
TICK_S = 0.02
MOST_AT_ONCE = 1_000


class Drain:
    def __init__(
        self,
        *,
        config: Config,
        table: Table,
        bridge: Bridge,
        database: Database,
        clock: DatabaseClock,
        lease: Lease,
        worker: Callable[[], UUID | None],
    ) -> None:
        self.paused = False
        self.on_free: Callable[[Owned], None] = lambda _: None
        self.on_dead_socket: Callable[[Owned], None] = lambda _: None
        self._config = config
        self._table = table
        self._bridge = bridge
        self._database = database
        self._clock = clock
        self._lease = lease
        self._worker = worker
        self._heap: list[tuple[datetime, int, Owned]] = []
        self._order = count()
        self._changed = asyncio.Event()
        self._results: list[tuple[Owned, Settlement]] = []
        self._doubted: set[Owned] = set()
        self._one_by_one = False
        self._sends: set[asyncio.Task[None]] = set()
        self._ticking = asyncio.Lock()  # held from a claim to the start of its sends

    # --- When

    def schedule(self, owned: Owned) -> None:
        """Look into its queue at its next slot, at once if that has passed. Scheduling it twice is harmless."""
        now = self._clock.now()
        due = max(now, owned.next_send_at or now)
        if owned.in_flight or (owned.due is not None and owned.due <= due):
            return
        owned.due = due
        heapq.heappush(self._heap, (due, next(self._order), owned))
        self._changed.set()

    async def look(self) -> None:
        """Finds work that no wake-up told of."""
        worker = self._worker()
        idle = {owned.id: owned for owned in self._table if owned.due is None and not owned.in_flight and owned.may_send}
        if worker is None or not idle or self.paused:
            return
        for session in await self._database.call(sending.ready, worker=worker, sessions=list(idle)):
            self.schedule(idle[session])

    async def wait(self) -> None:
        """Until a slot is due or a result waits, and never less than a tick."""
        await asyncio.sleep(TICK_S)
        while not self._results and not self._doubted:
            self._changed.clear()
            left = self._seconds_left()
            if left is not None and left <= 0:
                return
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return

    def _seconds_left(self) -> float | None:
        return (self._heap[0][0] - self._clock.now()).total_seconds() if self._heap else None

    def _pop_due(self) -> list[Owned]:
        now = self._clock.now()
        due: list[Owned] = []
        while self._heap and self._heap[0][0] <= now and len(due) < MOST_AT_ONCE:
            at, _, owned = heapq.heappop(self._heap)
            if owned.due != at:
                continue  # it was scheduled earlier meanwhile
            owned.due = None
            if self._table.holds(owned) and owned.may_send and not owned.in_flight and not self.paused:
                due.append(owned)
        return due

    # --- What

    async def tick(self) -> None:
        """Settles what came in, claims for the sessions that are due. Raises django.db.Error, and keeps the results then."""
        worker = self._worker()
        if worker is None:
            self._results.clear()  # the lease is gone: whoever owns these sessions next finds them uncertain
            self._doubted.clear()
            return
        await self._settle_doubts(worker)
        results = self._results[: 1 if self._one_by_one else None]
        self._results = self._results[len(results) :]
        due = [] if self._one_by_one and results else self._pop_due()
        if results or due:
            async with self._ticking:
                await self._settle_and_claim(worker, results, due)
        self._one_by_one = self._one_by_one and bool(self._results)

    async def _settle_and_claim(self, worker: UUID, results: list[tuple[Owned, Settlement]], due: list[Owned]) -> None:
        for owned in due:
            owned.in_flight = True  # from before the claim: nobody may release it between the commit and the send
        try:
            claims = await self._database.call(
                sending.tick,
                worker=worker,
                settlements=[settlement for _, settlement in results],
                due=[(owned.id, owned.term) for owned in due],
            )
        except Exception as error:
            self._results = self._worth_another_try(results, error) + self._results
            self._doubted.update(due)
            raise
        for owned, settlement in results:
            self._settled(owned, settlement)
        claimed = {claim.session: claim for claim in claims}
        for owned in due:
            self._start(owned, claimed.get(owned.id))

    def _worth_another_try(self, results: list[tuple[Owned, Settlement]], error: Exception) -> list[tuple[Owned, Settlement]]:
        """All of them when the database was away. Else one of them cannot be written: alone it is found, and its session stays
        where it is, so that the others go on."""
        if isinstance(error, (OperationalError, InterfaceError)):
            return results
        if len(results) == 1:
            owned, settlement = results[0]
            log.error("message.cannot_be_settled", session=str(owned.id), message=str(settlement.message))
            return []
        self._one_by_one = True
        return results

    async def _settle_doubts(self, worker: UUID) -> None:
        """After a failed tick: its claims may have been committed all the same, and nobody has sent them."""
        if not self._doubted:
            return
        doubted = [owned for owned in self._doubted if self._table.holds(owned)]
        await self._database.call(sending.give_back, worker=worker, sessions=[(owned.id, owned.term) for owned in doubted])
        self._doubted.clear()
        for owned in doubted:
            self._free(owned)
            self.schedule(owned)

    def _settled(self, owned: Owned, settlement: Settlement) -> None:
        if settlement.next_send_at:
            owned.next_send_at = max(owned.next_send_at or settlement.next_send_at, settlement.next_send_at)
        self._free(owned)
        if self._table.holds(owned) and owned.may_send and not self.paused:
            self.schedule(owned)

    def _free(self, owned: Owned) -> None:
        owned.in_flight = False
        if not owned.settled:
            self.on_free(owned)

    # --- The send

    def _start(self, owned: Owned, claim: Claim | None) -> None:
        if claim is None:
            self._free(owned)
            return
        task = asyncio.create_task(self._send(owned, claim))
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    async def _send(self, owned: Owned, claim: Claim) -> None:
        outcome = Outcome("not_sent", "lease_ran_out")
        try:
            if self._lease.held():
                outcome = await self._bridge.send(claim, typing_ms=self._typing_ms(claim))
        except Exception:
            log.exception("message.send_crashed", session=str(claim.session), message=str(claim.message))
            outcome = Outcome("unknown", "connection_lost")
        self._finish(owned, claim, outcome)

    def _typing_ms(self, claim: Claim) -> int:
        per_character, limit = self._config.typing_ms_per_character, self._config.typing_max_ms
        return 0 if claim.resend else typing_ms(len(claim.body), per_character_ms=per_character, limit_ms=limit)

    def _finish(self, owned: Owned, claim: Claim, outcome: Outcome) -> None:
        now = self._clock.now()
        verdict = judge(outcome, attempt=claim.attempt, resend=claim.resend, now=now, jitter=random.random())
        self._results.append((owned, self._settlement(owned, claim, outcome, verdict, now)))
        self._changed.set()
        say = log.debug if verdict.next is Next.SENT else log.warning
        say(
            "message.settled",
            session=str(claim.session),
            restaurant=str(owned.row.restaurant),
            message=str(claim.message),
            status=str(verdict.next),
            code=verdict.code,
            attempt=claim.attempt,
        )
        if verdict.reconnect:
            self.on_dead_socket(owned)

    def _settlement(self, owned: Owned, claim: Claim, outcome: Outcome, verdict: Verdict, now: datetime) -> Settlement:
        jitter = random.random()
        history = pacing.History(last_sent_at=now)
        slot = pacing.next_send_at(owned.pace, history, now, jitter) if verdict.on_wire else None
        waits = [at for at in (slot, verdict.session_until) if at]
        return Settlement(
            message=claim.message,
            session=claim.session,
            term=claim.term,
            status=str(verdict.next),
            at=outcome.at or now,
            code=verdict.code,
            detail=verdict.detail,
            address=outcome.address,
            not_before=verdict.retry_at,
            hold_until=verdict.retry_at or verdict.session_until,
            sent_at=now if verdict.on_wire else None,
            next_send_at=max(waits) if waits else None,
            delay_ms=pacing.delay_ms(owned.pace, jitter) if verdict.on_wire else 0,
        )

    # --- The end

    def under_way(self) -> int:
        return len(self._sends) + len(self._results)

    async def finish(self, timeout_s: float) -> bool:
        """Waits for the sends under way, those that are being claimed at this moment too; whether all of them came back."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                async with self._ticking:
                    pass
                while self._sends:
                    await asyncio.wait(set(self._sends))
        return not self._sends
