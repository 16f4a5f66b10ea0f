"""Leases this worker's right to own, and claims and releases sessions so that every worker has its fair share."""

import asyncio
import math
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from uuid import UUID

import structlog

from sessions_app.policy.sharing import fair_share, may_leave
from sessions_app.services import ownership, session_state, tallies
from workers import pacer
from workers.bridge_process import BridgeHost
from workers.clocks import DatabaseClock, Lease, steady
from workers.config import Config
from workers.database import Database
from workers.links import Links
from workers.table import Owned, Table, adopt, claims_of
from workers.truths import Truths

log = structlog.get_logger(__name__)
CLAIM_AT_ONCE = 500
HAND_OVER_STEP_S = 0.1


class Ownership:
    """`beats` is a database thread of its own, so that a slow drain never costs the lease."""

    def __init__(
        self,
        *,
        config: Config,
        table: Table,
        host: BridgeHost,
        links: Links,
        truths: Truths,
        clock: DatabaseClock,
        lease: Lease,
        beats: Database,
        work: Database,
        on_replaced: Callable[[], None],
    ) -> None:
        self.draining = False
        self.beat_now = asyncio.Event()
        self.on_clock_set: Callable[[timedelta], None] = lambda _: None
        self.on_renewed: Callable[[], None] = lambda: None
        self._on_replaced = on_replaced
        self._me: ownership.Registration | None = None
        self._renewal: ownership.Renewal | None = None
        self._config = config
        self._table = table
        self._host = host
        self._links = links
        self._truths = truths
        self._clock = clock
        self._lease = lease
        self._beats = beats
        self._work = work
        self._ahead: dict[ownership.Ahead, float] = {}  # since when, on the steady clock, each has been seen unchanged
        self.unreadable: set[UUID] = set()  # owned, and in no table: their rows say what this worker does not understand
        self._no_claims_until = 0.0  # steady clock
        self._told_ready = False  # whether the last renewal told the others that this worker takes its share
        self._bridge_away_since: float | None = None

    @property
    def worker(self) -> UUID | None:
        """Whom this worker's writes name; None while it holds no lease."""
        return self._me.worker if self._me and self._lease.held() else None

    # --- The lease

    async def beat(self) -> None:
        if self._me is None and not self.draining:
            await self._register()
        if self._me is not None:
            await self._renew(self._me)

    async def _register(self) -> None:
        config = self._config
        rival = await self._beats.call(ownership.holder, name=config.name)
        if rival and not _is_gone(rival, config):
            log.error("worker.name_taken", name=config.name, rival=f"{rival.hostname}:{rival.pid}", mend="give each its own -n")
            return
        self._me = await self._beats.call(
            ownership.register,
            name=config.name,
            queue=config.queue,
            hostname=config.hostname,
            pid=config.pid,
            capacity=config.capacity,
            ttl_s=config.ttl_s,
        )
        log.info("worker.registered", name=config.name)

    async def _renew(self, me: ownership.Registration) -> None:
        asked_at = steady()
        bridge = self._host.status
        renewal = await self._beats.call(
            ownership.renew,
            me=me,
            ttl_s=self._config.ttl_s,
            bridge_ready=bridge.ready,
            bridge_detail=bridge.detail,
            draining=self.draining,
            held=self._lease.held(),
        )
        if renewal is None:
            log.error("worker.lease_lost", name=self._config.name, sessions=len(self._table))
            self._forget_lease()
            if await self._beats.call(ownership.holder, name=self._config.name):
                self._on_replaced()
            return
        await self.watch()  # a lease that ran out meanwhile stays lost: results that came in since were dropped
        if self._me is not me:
            return
        self._renewal, self._told_ready = renewal, bridge.ready
        self._lease.renewed(asked_at)
        self._note_clock(renewal, asked_at)
        self.on_renewed()

    def _note_clock(self, renewal: ownership.Renewal, asked_at: float) -> None:
        """Set forward, all leases have run out at once: their holders are given time to renew them. Set back, a dead worker's
        lease seems to go on: it is over when its heartbeat has not changed for as long as a lease lasts."""
        step = self._clock.sync(renewal.now, asked_at=asked_at, answered_at=steady())
        if step:
            self._no_claims_until = steady() + self._config.ttl_s
            self.on_clock_set(step)
        self._ahead = {one: self._ahead.get(one, steady()) for one in renewal.ahead}

    def _silent(self) -> list[ownership.Ahead]:
        return [one for one, since in self._ahead.items() if steady() - since > self._config.ttl_s]

    async def watch(self) -> None:
        """Stops by itself in time: nobody else can have claimed anything yet when this fires."""
        if self._renewal is not None and not self._lease.held():
            log.error("worker.lease_ran_out", name=self._config.name, sessions=len(self._table))
            self._forget_lease()

    def _forget_lease(self) -> None:
        self._me = self._renewal = None
        self._lease.drop()
        self._links.lose_all()

    # --- The sessions

    async def balance(self) -> None:
        if self._me is None or self._renewal is None or not self._lease.held() or self.draining:
            return
        if not self._host.status.ready:
            await self._wait_for_bridge()
            return
        self._bridge_away_since = None
        if not self._told_ready:
            self.beat_now.set()
            return
        share = await self._share(self._me, self._renewal)
        if len(self._table) < share:
            await self._claim(self._me, min(share - len(self._table), CLAIM_AT_ONCE))
        elif len(self._table) > share:
            await self._give_up(len(self._table) - share, "fair_share")

    async def _share(self, me: ownership.Registration, renewal: ownership.Renewal) -> int:
        """The others are counted anew each time: what one that stops lets go is taken at once."""
        others = await self._work.call(ownership.others, me=me)
        # Alone there is nobody to share with, and the count of wanted sessions may be a heartbeat old.
        capacity = self._config.capacity
        return fair_share(capacity=capacity, others=others, wanted=renewal.wanted_sessions) if others else capacity

    async def _claim(self, me: ownership.Registration, limit: int) -> None:
        if steady() < self._no_claims_until:
            return
        # Only the next beat tells of a clock that was set since the last one; until then a claim sees for itself. A step of less
        # than half a lease ends none that was renewed in time.
        not_after = self._clock.now() + timedelta(seconds=self._config.ttl_s / 2)
        claimed = await self._work.call(ownership.claim, me=me, limit=limit, silent=self._silent(), not_after=not_after)
        if not claimed:
            return
        log.info("sessions.claimed", count=len(claimed))
        await self.adopt(await self._work.call(session_state.load, worker=me.worker, sessions=[one.session for one in claimed]))

    async def adopt(self, rows: Iterable[session_state.SessionRow]) -> None:
        """Takes charge of sessions that this worker owns; those it has charge of already are left as they are."""
        fresh = sorted((row for row in rows if self._table.get(row.id) is None), key=_soonest_first)
        sent = await self._work.call(tallies.recent, sessions=[row.id for row in fresh]) if fresh else {}
        for row in fresh:
            if self._table.get(row.id) is None:  # another look may have been as quick
                self.unreadable.discard(row.id)
                try:
                    self._take(row, sent.get(row.id, ()))
                except Exception:  # such as one with a later version's time zone: it holds up no other
                    log.exception("session.cannot_be_read", session=str(row.id))
                    self.unreadable.add(row.id)

    def _take(self, row: session_state.SessionRow, sent: Sequence[tallies.Quarter]) -> None:
        owned = adopt(row, pacer.of_row(row, sent, self._clock.now()))
        self._table.add(owned)
        self._truths.mark(owned)
        self._links.consider(owned)

    async def _give_up(self, surplus: int, reason: str) -> None:
        """A few at a time, those first that can move within a pause. Each goes when its send has been settled and its socket is
        closed; none goes while somebody is linking it, for the code on the page would die as it is scanned."""
        moving = await self._work.call(ownership.moving)
        leaving = sum(bool(owned.leaving) for owned in self._table)
        may_go = (owned for owned in self._table if not owned.leaving and not owned.being_linked)
        now = self._clock.now()
        in_turn = sorted(may_go, key=lambda owned: owned.pause_left(now), reverse=True)
        for owned in in_turn[: may_leave(surplus=surplus, leaving=leaving, moving=moving)]:
            owned.leaving = reason
            self._links.consider(owned)

    async def hand_over(self) -> None:
        """At the end of this worker: gives everything up as others can take it, as long as there are others. Raises
        django.db.Error."""
        self.draining = True
        self.beat_now.set()
        while self._me is not None and len(self._table):
            if not await self._work.call(ownership.others, me=self._me):
                return
            await self._give_up(len(self._table), "worker_stops")
            await asyncio.sleep(HAND_OVER_STEP_S)

    async def _wait_for_bridge(self) -> None:
        self._bridge_away_since = self._bridge_away_since or steady()
        if len(self._table) and steady() - self._bridge_away_since > self._config.bridge_grace_s:
            log.error("worker.gives_sessions_away", sessions=len(self._table), reason="no bridge")
            await self.release(list(self._table), "no_bridge")

    async def release(self, sessions: list[Owned], reason: str) -> None:
        """Raises django.db.Error, and owns them still then."""
        await self._truths.flush()
        if self._me is not None:
            await self._work.call(ownership.release, me=self._me, owned=claims_of(sessions), reason=reason)
        for owned in sessions:
            self._table.remove(owned)

    async def leave(self) -> None:
        me, self._me, self._renewal = self._me, None, None  # first: a heartbeat behind it would be a lease anew
        self._lease.drop()
        if me is not None:
            await self._beats.call(ownership.leave, me=me)


def _soonest_first(row: session_state.SessionRow) -> float:
    """In this order they log in."""
    return row.next_send_at.timestamp() if row.next_send_at else math.inf


def _is_gone(rival: ownership.Holder, config: Config) -> bool:
    """Whether whoever holds the name is surely dead, on this machine. Elsewhere only its lease can tell."""
    if rival.hostname != config.hostname:
        return False
    if rival.pid is None or rival.pid == config.pid:  # a container started again has the same pid
        return True
    try:
        os.kill(rival.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
