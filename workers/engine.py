"""Everything that runs in a session worker's loop, put together."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from sessions_app.policy.signals import Refused
from workers.alive import AliveFile
from workers.bridge import Bridge
from workers.bridge_lease import BridgeLease
from workers.bridge_process import BridgeHost, BridgeStatus
from workers.clocks import DatabaseClock, Lease, steady
from workers.config import Config
from workers.database import Database
from workers.drain import Drain
from workers.garbage import Garbage
from workers.inquiries import Inquiries
from workers.links import Links
from workers.looks import Looks
from workers.loops import GATHER_S, LONGEST_PAUSE_S, attempt, every
from workers.ownership import Ownership
from workers.signals import Signals
from workers.suspects import Suspects
from workers.table import Owned, Table
from workers.truths import Truths

log = structlog.get_logger(__name__)
BEAT_AGAIN_S = 0.5
BALANCE_S = 0.5
CONSIDER_S = 0.5
WATCH_S = 0.25
CLEAR_S = 1.0
COMPARE_S = 30.0
INQUIRE_S = 5.0
GARBAGE_S = 5.0
HAND_OVER_S = 3.0
SHORTEST_FINISH_S = 1.0
CLOSE_AT_END_S = 3.0
SETTLE_AT_END_S = 1.0


class Engine:
    """`run` until `stop`. All of it lives in one event loop; `wake` alone may be called from elsewhere, through that loop."""

    def __init__(self, *, config: Config, host: BridgeHost, on_replaced: Callable[[], None] = lambda: None) -> None:
        self.config = config
        self.host = host
        self.table = Table()
        self.clock = DatabaseClock()
        self.lease = Lease(ttl_s=config.ttl_s, margin_s=config.margin_s)
        self.alive = AliveFile(config.alive_file)
        self.bridge = Bridge(secret=config.secret, ack_timeout_s=config.ack_timeout_s)
        self.beats = Database("beats")
        self.work = Database("work")
        self.truths = Truths(table=self.table, database=self.work, worker=lambda: self.ownership.worker)
        self.suspects = Suspects(table=self.table, truths=self.truths)
        self.bridge_lease = BridgeLease(bridge=self.bridge, host=host, lease=self.lease)
        self.links = Links(
            name=config.name,
            table=self.table,
            bridge=self.bridge,
            truths=self.truths,
            clock=self.clock,
            lease=self.lease,
            suspects=self.suspects,
            max_opening=config.max_opening,
        )
        self.ownership = Ownership(
            config=config,
            table=self.table,
            host=host,
            links=self.links,
            truths=self.truths,
            clock=self.clock,
            lease=self.lease,
            beats=self.beats,
            work=self.work,
            on_replaced=on_replaced,
        )
        self.drain = Drain(
            config=config,
            table=self.table,
            bridge=self.bridge,
            database=self.work,
            clock=self.clock,
            lease=self.lease,
            worker=lambda: self.ownership.worker,
        )
        self.looks = Looks(
            table=self.table,
            database=self.work,
            clock=self.clock,
            ownership=self.ownership,
            links=self.links,
            truths=self.truths,
            drain=self.drain,
        )
        self.garbage = Garbage(lambda: len(self.table))
        self.inquiries = Inquiries(table=self.table, bridge=self.bridge, clock=self.clock, lease=self.lease)
        self.signals = Signals(table=self.table, bridge=self.bridge, links=self.links)
        self._wire()
        self._generation, self._deaths = 0, host.status.deaths
        self._stop = asyncio.Event()

    def _wire(self) -> None:
        self.links.on_release = self.ownership.release
        self.suspects.on_culprit = self.links.quarantine
        self.ownership.on_renewed = self._renewed
        self.truths.on_written = self._written
        self.truths.on_told = lambda owned: self.wake([owned.id])  # what it means for its lanes is read from the row
        self.truths.on_lost = self.links.lose
        self.drain.on_refused = self._refused
        self.drain.on_free = self.links.consider
        self.drain.on_dead_socket = self.links.reconnect
        self.ownership.on_clock_set = self._clock_set

    def _renewed(self) -> None:
        self.bridge_lease.due.set()
        self.alive.touch()

    def _written(self, owned: Owned) -> None:
        """Its row says what is true: a claim for it can succeed from now on."""
        if owned.may_send and not self.drain.paused:
            self.drain.schedule(owned)

    def _refused(self, owned: Owned, at: datetime) -> None:
        self.inquiries.refused(owned, at)
        owned.truth.facts.append(Refused(at))
        self.truths.mark(owned)

    def _clock_set(self, step: timedelta) -> None:
        log.warning("clock.set", of="database", seconds=round(step.total_seconds(), 1))
        for owned in self.table:
            owned.shift(step)
        self.drain.shift(step)

    # --- From outside, in the loop's thread

    def wake(self, sessions: Iterable[UUID]) -> None:
        self.looks.wake(sessions)

    def stop(self) -> None:
        self._stop.set()

    # --- The loops

    async def run(self) -> None:
        async with self.bridge:
            loops = [asyncio.create_task(loop, name=name) for name, loop in self._loops().items()]
            try:
                await self._stop.wait()
                await self._finish()
            finally:
                for task in loops:
                    task.cancel()
                await asyncio.gather(*loops, return_exceptions=True)
                await self.work.close()
                await self.beats.close()

    def _loops(self) -> dict[str, Coroutine[Any, Any, None]]:
        return {
            "beat": every(  # a period more without the database may cost the lease
                self.config.heartbeat_s,
                self.ownership.beat,
                name="beat",
                kick=self.ownership.beat_now,
                retry_s=BEAT_AGAIN_S,
            ),
            "watch": every(WATCH_S, self._watch, name="watch"),
            "bridge_lease": every(  # kicked by each heartbeat: so often only when those fail
                2 * self.config.heartbeat_s, self.bridge_lease.lend, name="bridge_lease", kick=self.bridge_lease.due
            ),
            "clear": every(CLEAR_S, self.suspects.clear, name="clear"),
            "balance": every(BALANCE_S, self.ownership.balance, name="balance"),
            "consider": every(CONSIDER_S, self.links.consider_all, name="consider"),
            "look": every(self.config.look_every_s, self.looks.look, name="look"),
            "wake": every(3_600, self.looks.take_wakes, name="wake", kick=self.looks.woken),
            "signals": every(CONSIDER_S, self.signals.follow, name="signals"),
            "compare": every(COMPARE_S, self.signals.compare, name="compare", kick=self.signals.started),
            "inquiries": every(INQUIRE_S, self.inquiries.ask, name="inquiries"),
            "garbage": every(GARBAGE_S, self.garbage.set_aside, name="garbage"),
            "truths": every(3_600, self._write_truths, name="truths", kick=self.truths.changed),
            "drain": self._drain(),
        }

    async def _watch(self) -> None:
        await self.ownership.watch()
        for database in (self.beats, self.work):
            database.cut_when_hung()
        status = self.host.status
        self.bridge.base_url = status.base_url
        generation = status.generation if status.ready else 0
        if generation == self._generation:
            return
        self.bridge.leased = False
        self.bridge_lease.due.set()
        if self._generation:
            self.links.all_closed("bridge_unavailable")
        self._generation = generation
        self._accuse(status)

    def _accuse(self, status: BridgeStatus) -> None:
        if status.deaths != self._deaths:
            since, until = self.bridge_lease.hung_between or (status.died_at, status.died_at)
            self.suspects.accuse(since=since, until=until)
        self._deaths, self.bridge_lease.hung_between = status.deaths, None

    async def _write_truths(self) -> None:
        await asyncio.sleep(GATHER_S)
        await self.truths.flush()

    async def _drain(self) -> None:
        failures = 0
        while True:
            await self.drain.wait()
            failures = await attempt(self.drain.tick, name="drain", failures=failures)
            if failures:
                await asyncio.sleep(min(LONGEST_PAUSE_S, 0.05 * 2 ** min(failures, 6)))

    # --- The end

    async def _finish(self) -> None:
        """Hands sessions over while others live, finishes the sends under way, closes sockets, releases what is left, ends the
        lease. The heartbeat goes on meanwhile."""
        log.info("worker.stopping", name=self.config.name, sessions=len(self.table), under_way=self.drain.under_way())
        last_send_at = steady() + self.config.finish_s
        await attempt(self._hand_over, name="hand_over", failures=0)
        self.drain.paused = self.links.paused = True
        if not await self.drain.finish(max(SHORTEST_FINISH_S, last_send_at - steady())):
            log.warning("worker.sends_cut", under_way=self.drain.under_way())
        await attempt(self._close_sockets, name="close_sockets", failures=0)
        await self.drain.finish(0.5)  # what was cut answers now
        await attempt(self._settle_all, name="settle_all", failures=0)
        await attempt(self._release_all, name="release", failures=0)
        await attempt(self.ownership.leave, name="leave", failures=0)
        log.info("worker.stopped", name=self.config.name)

    async def _hand_over(self) -> None:
        """A database that does not answer must not use up the time for the sends under way."""
        async with asyncio.timeout(HAND_OVER_S):
            await self.ownership.hand_over()

    async def _close_sockets(self) -> None:
        """A bridge that does not answer ends with this process, and its sockets with it."""
        async with asyncio.timeout(CLOSE_AT_END_S):
            await self.links.close_sockets(list(self.table))
            await self.bridge_lease.end()

    async def _release_all(self) -> None:
        while owned := list(self.table):  # a claim that was under way may add to it
            await self.ownership.release(owned, "worker_stops")

    async def _settle_all(self) -> None:
        async with asyncio.timeout(SETTLE_AT_END_S):
            while self.drain.under_way():  # noqa: ASYNC110 - the drain's own loop settles them
                await asyncio.sleep(GATHER_S)
