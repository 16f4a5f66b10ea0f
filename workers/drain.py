"""Drains the queues: one claim and one settlement for all sessions of a tick, a task for each send."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from sessions_app.policy.lanes import LANES
from sessions_app.policy.reasons import Held
from sessions_app.policy.retry import Next, Outcome, judge
from sessions_app.policy.typing import Typing, typing_ms, typing_plan
from sessions_app.services import claims, sending
from sessions_app.services.claims import Claim
from sessions_app.services.settlements import Settlement
from workers import answers
from workers.agenda import Agenda
from workers.bridge import Bridge
from workers.clocks import DatabaseClock, Lease, steady
from workers.config import Config
from workers.database import Database, is_passing
from workers.pacer import moment
from workers.table import Owned, Table

log = structlog.get_logger(__name__)
TICK_S = 0.08
HURRIED_TICK_S = 0.01
LOOK_AT_HELD = 5  # looks


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
        self.on_refused: Callable[[Owned, datetime], None] = lambda *_: None  # 463
        self.on_dead_socket: Callable[[Owned], None] = lambda _: None
        self._config = config
        self._table = table
        self._bridge = bridge
        self._database = database
        self._clock = clock
        self._lease = lease
        self._worker = worker
        self._agenda = Agenda(clock=clock, typing_max_ms=config.typing_max_ms)
        self._results: list[tuple[Owned, Settlement]] = []
        self._doubted: set[Owned] = set()
        self._one_by_one = False
        self._looks = 0
        self._began = 0.0  # steady clock: the last tick
        self._hurry = asyncio.Event()  # a session waits for nothing but a tick
        self._sends: set[asyncio.Task[None]] = set()
        self._ticking = asyncio.Lock()  # held from a claim to the start of its sends

    # --- When

    def schedule(self, owned: Owned) -> None:
        """Look into its queue at its next slot, at once if that has passed. Scheduling it twice is harmless."""
        self._agenda.add(owned, owned.pacer.slot(self._clock.now()))

    def look_again(self, owned: Owned) -> None:
        """What held it may hold it no more, and its pace may be another."""
        if owned.may_send and not self.paused:
            owned.held = None
            self.schedule(owned)

    async def look(self) -> None:
        """Finds work that no wake-up told of."""
        worker, now = self._worker(), self._clock.now()
        self._looks += 1
        idle = {owned.id: owned for owned in self._table if self._is_idle(owned, now)}
        if worker is None or not idle or self.paused:
            return
        for waiting in await self._database.call(claims.ready, worker=worker, sessions=list(idle)):
            owned = idle[waiting.session]
            answer = owned.pacer.opens(waiting, now)
            owned.held = answer if isinstance(answer, Held) else None
            self._agenda.add(owned, moment(answer), later=moment(answer) > owned.pacer.slot(now))

    def _is_idle(self, owned: Owned, now: datetime) -> bool:
        """Nothing is known to wait in it; or all that waits may not go at the next slot, where a wake-up of something that may
        can have been lost."""
        if owned.in_flight or not owned.may_send:
            return False
        return owned.due is None or (owned.later and self._looks % LOOK_AT_HELD == 0)

    async def wait(self) -> None:
        """Until a slot is due or a result waits, and never less than a tick since the last one began: what comes meanwhile goes
        together. A tick is short where a session is held up by nothing else."""
        await asyncio.sleep(self._began + HURRIED_TICK_S - steady())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._began + TICK_S - steady()):
                await self._hurry.wait()
        while not self._results and not self._doubted:
            self._agenda.changed.clear()
            left = self._agenda.seconds_left()
            if left is not None and left <= 0:
                return
            try:
                async with asyncio.timeout(left):
                    await self._agenda.changed.wait()
            except TimeoutError:
                return

    def shift(self, step: timedelta) -> None:
        """The database's clock was set; the table's times have been moved already."""
        self._agenda.shift(step)

    # --- What

    async def tick(self) -> None:
        """Settles what came in, claims for the sessions that are due. Raises django.db.Error, and keeps the results then."""
        self._began = steady()
        worker = self._worker()
        if worker is None:
            self._results.clear()  # the lease is gone: whoever owns these sessions next finds them uncertain
            self._doubted.clear()
            return
        self._hurry.clear()
        results = self._results[: 1 if self._one_by_one else None]
        self._results = self._results[len(results) :]
        due = [] if self._one_by_one and results else self._due(results)
        if results or due:
            async with self._ticking:
                await self._settle_and_claim(worker, results, due)
        await self._settle_doubts(worker)
        self._one_by_one = self._one_by_one and bool(self._results)
        if self._one_by_one:
            self._hurry.set()

    def _due(self, results: list[tuple[Owned, Settlement]]) -> list[Owned]:
        """And those whose next slot has come by the time this tick settles their last message, unless something else than
        sending is wished of them: that wants them free."""
        now = self._clock.now()
        settling = [owned for owned, _ in results if owned.settled and owned not in self._doubted]
        next_up = [owned for owned in settling if owned.pacer.slot(now) <= now]
        for owned in next_up:
            owned.slot = now
        return [owned for owned in (*next_up, *self._agenda.take_due()) if self._may_claim(owned)]

    def _may_claim(self, owned: Owned) -> bool:
        return self._table.holds(owned) and owned.may_send and not self.paused

    async def _settle_and_claim(self, worker: UUID, results: list[tuple[Owned, Settlement]], due: list[Owned]) -> None:
        for owned in due:  # from before the claim: nobody may release it between the commit and the send
            owned.in_flight = True
        try:
            claims = await self._database.call(
                sending.tick,
                worker=worker,
                settlements=[settlement for _, settlement in results],
                due=[owned.pacer.due(owned.row, owned.slot or self._clock.now()) for owned in due],
            )
        except Exception as error:
            self._doubted.update(due)
            self._results = self._worth_another_try(results, error, alone=not due) + self._results
            raise
        claimed, started = {claim.session: claim for claim in claims}, set(due)
        for owned, _ in results:
            if owned not in started and owned not in self._doubted:
                self._settled(owned)
        for owned in due:
            self._start(owned, claimed.get(owned.id))

    def _worth_another_try(
        self, results: list[tuple[Owned, Settlement]], error: Exception, *, alone: bool
    ) -> list[tuple[Owned, Settlement]]:
        """All of them when the database was away. Else one of them cannot be written: alone it is found, and its session stays
        where it is, so that the others go on."""
        if is_passing(error):
            return results
        if len(results) == 1 and alone:
            owned, settlement = results[0]
            log.error("message.cannot_be_settled", session=str(owned.id), message=str(settlement.message))
            self._doubted.discard(owned)
            return []
        self._one_by_one = True
        return results

    async def _settle_doubts(self, worker: UUID) -> None:
        """After a failed tick: its claims may have been committed all the same, and nobody has sent them. A session's last
        message is settled before, since it would look like one of these."""
        unsettled = {owned for owned, _ in self._results}
        doubted = [owned for owned in self._doubted - unsettled if self._table.holds(owned)]
        if doubted:
            await self._database.call(claims.give_back, worker=worker, sessions=[(owned.id, owned.term) for owned in doubted])
        self._doubted &= unsettled
        for owned in doubted:
            self._free(owned)
            self.schedule(owned)

    def _settled(self, owned: Owned) -> None:
        self._free(owned)
        if self._may_claim(owned):
            self.schedule(owned)

    def _free(self, owned: Owned) -> None:
        owned.in_flight = False
        if not owned.settled:
            self.on_free(owned)

    # --- The send

    def _start(self, owned: Owned, claim: Claim | None) -> None:
        owned.held = None
        if claim is None or claim.status != "sending":
            self._free(owned)
            if claim is not None:  # its slot is free for another
                self.schedule(owned)
                self._hurry.set()
            return
        owned.pacer.turn += not claim.resend
        task = asyncio.create_task(self._send(owned, claim))
        self._sends.add(task)
        task.add_done_callback(self._sends.discard)

    async def _send(self, owned: Owned, claim: Claim) -> None:
        outcome = Outcome("not_sent", "lease_ran_out")
        owned.send_began, owned.send_ended = steady(), None
        try:
            plan = self._plan(owned, claim)
            await asyncio.sleep((plan.start_at - self._clock.now()).total_seconds())
            if self._lease.held():
                outcome = await self._bridge.send(claim, now=self._clock.now(), typing_ms=plan.typing_ms)
        except Exception:
            log.exception("message.send_crashed", session=str(claim.session), message=str(claim.message))
            outcome = Outcome("unknown", "connection_lost")
        owned.send_ended = steady()
        self._finish(owned, claim, outcome)

    def _plan(self, owned: Owned, claim: Claim) -> Typing:
        per_character, limit = self._config.typing_ms_per_character, self._config.typing_max_ms
        now, last = self._clock.now(), owned.pacer.ledger.latest.last_sent_at
        # Its pace may be long over: what it is due for may be an opening, and it was claimed before that.
        slot = max(owned.pacer.slot(now, LANES[claim.lane]), owned.slot or now)
        shown = 0 if claim.resend else typing_ms(len(claim.body), per_character_ms=per_character, limit_ms=limit)
        return typing_plan(slot=now if claim.resend else slot, now=now, last_sent_at=last, typing_ms=shown)

    def _finish(self, owned: Owned, claim: Claim, outcome: Outcome) -> None:
        now = self._clock.now()
        verdict = judge(outcome, tries=claim.tries, resend=claim.resend, now=now, jitter=random.random())
        self._results.append((owned, answers.settle(owned.pacer, claim, outcome, verdict, now)))
        self._agenda.changed.set()
        if owned.pacer.slot(now) <= now:
            self._hurry.set()
        say = log.debug if verdict.next is Next.SENT else log.warning
        say(
            "message.settled",
            session=claim.session,
            restaurant=owned.row.restaurant,
            message=claim.message,
            status=str(verdict.next),
            code=verdict.code,
            attempt=claim.attempt,
        )
        if answers.is_refusal(outcome):
            self.on_refused(owned, now)
        if verdict.reconnect:
            self.on_dead_socket(owned)

    # --- The end

    def under_way(self) -> int:
        return len(self._sends) + len(self._results)

    async def finish(self, timeout_s: float) -> bool:
        """Waits for the sends under way, those that are being claimed at this moment too; whether all of them came back."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, timeout_s)):
                async with self._ticking:
                    pass
                while self._sends:
                    await asyncio.wait(set(self._sends))
        return not self._sends
