"""Keeps each session's connection as it is wished: asks `reconcile` what to do, tells the bridge, takes what the bridge tells."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from django.db import Error as DatabaseError

from sessions_app.policy.reactions import NOT_SCANNED
from sessions_app.policy.reconcile import Action, reconcile
from sessions_app.services.session_state import SessionRow
from workers.bridge import Bridge, BridgeError, Status
from workers.changes import Changes
from workers.clocks import DatabaseClock, Lease, steady
from workers.suspects import Suspects
from workers.table import Owned, Table
from workers.truths import Truths

log = structlog.get_logger(__name__)
STUCK_AFTER_S = 180.0  # the bridge gives up before: 60 s for a login, and 100 s once it was accepted
REST_AFTER_ERROR_S = 2.0
_OPENS = {Action.OPEN, Action.LINK_QR, Action.LINK_CODE}


class Links:
    def __init__(
        self,
        *,
        name: str,
        table: Table,
        bridge: Bridge,
        truths: Truths,
        clock: DatabaseClock,
        lease: Lease,
        suspects: Suspects,
        max_opening: int,
    ) -> None:
        self.on_release: Callable[[list[Owned], str], Awaitable[None]]
        self.paused = False  # at the end of the worker
        self._name = name
        self._table = table
        self._bridge = bridge
        self._truths = truths
        self._clock = clock
        self._lease = lease
        self._suspects = suspects
        self._max_opening = max_opening
        self._changes = Changes(truths=truths, clock=clock)
        self._tasks: set[asyncio.Task[None]] = set()

    # --- What is wished

    def take_wishes(self, row: SessionRow) -> None:
        """A fresh look at a row; one of another term is somebody else's session now."""
        owned = self._table.get(row.id)
        if owned is None:
            return
        if owned.term != row.term:
            self.lose(owned)
            return
        owned.row = row
        self.consider(owned)

    async def consider_all(self) -> None:
        """Those with deaths on record last."""
        self._suspects.survey()
        for owned in sorted((one for one in self._table if not one.settled), key=lambda one: one.truth.bridge_deaths):
            self.consider(owned)

    def consider(self, owned: Owned) -> None:
        """Starts what is to be done next, if anything is. Cheap, and harmless to repeat."""
        if self.paused or owned.acting or owned.rest_until > steady() or not self._lease.held() or not self._table.holds(owned):
            return
        action = self._next(owned)
        if action is Action.NOTHING or (action is not Action.RELEASE and not self._bridge.may_open):
            return
        if action in _OPENS:
            most = self._max_opening * (2 if owned.being_linked else 1)  # a person who waits for a code waits for no logins
            if len(self._changes.opening) >= most or not self._suspects.admit(owned):
                return
            self._changes.opening.add(owned.id)
        owned.acting = True
        self._spawn(self._act(owned, action))

    def _next(self, owned: Owned) -> Action:
        if owned.leaving:
            return Action.NOTHING if owned.in_flight else Action.RELEASE
        if owned.wipe:  # what is under way is settled first: an unlinked session that we left behind nobody would claim
            return Action.NOTHING if owned.in_flight else Action.LOG_OUT
        if owned.open == "connecting" and steady() - (owned.opened_at or 0.0) > STUCK_AFTER_S:
            return Action.RESTART
        action = reconcile(owned.wish(), owned.known(), self._clock.now())
        waits = action in (Action.CLOSE, Action.LOG_OUT, Action.RELEASE) and owned.in_flight
        return Action.NOTHING if waits else action

    # --- What is done

    async def _act(self, owned: Owned, action: Action) -> None:
        doing = {
            Action.OPEN: self._open,
            Action.LINK_QR: self._open,
            Action.LINK_CODE: self._open,
            Action.CLOSE: self._close,
            Action.RESTART: self._restart,
            Action.LOG_OUT: self._log_out,
            Action.RELEASE: self._release,
        }
        try:
            await doing[action](owned)
        except Exception as error:
            owned.rest_until = steady() + REST_AFTER_ERROR_S
            self._failed(owned, action, error)
        finally:
            owned.acting = False
        self.consider(owned)

    async def _open(self, owned: Owned) -> None:
        link: dict[str, str] | None = None
        if owned.truth.linked:
            owned.open = "connecting"
            self._changes.say(owned, "connecting", "", "")
        else:
            owned.open, owned.linking_phone = "linking", owned.row.link_phone
            link = {"mode": "code", "phone": owned.row.link_phone} if owned.row.link_phone else {"mode": "qr"}
        owned.opened_at, owned.login_ended, heard = steady(), None, owned.heard
        owned.truth.restart_done = owned.row.restart_wish
        status = await self._bridge.open(owned.id, owner=self._name, term=owned.term, link=link)
        if owned.heard == heard:  # the stream of signals has not overtaken this answer
            self.take_status(status)

    async def _close(self, owned: Owned) -> None:
        if owned.open != "no":
            await self._bridge.close(owned.id, term=owned.term)
        was_linking = owned.open == "linking"
        self._changes.gone(owned)
        if not owned.truth.linked:
            reason = "requested" if owned.row.link_until is None else "link_expired"
            self._changes.say(owned, "unlinked", reason, "" if reason == "requested" else NOT_SCANNED)
            owned.truth.link_ended = owned.row.link_until if was_linking else owned.truth.link_ended
        elif owned.row.desired == "offline":
            self._changes.say(owned, "stopped", "requested", "")

    async def _restart(self, owned: Owned) -> None:
        if owned.open != "no":
            await self._bridge.close(owned.id, term=owned.term)
        self._changes.gone(owned)
        if owned.row.restart_wish > owned.truth.restart_done:  # a person answers for it
            owned.truth.crashes = owned.truth.bridge_deaths = 0
        owned.truth.retry_at, owned.truth.restart_done = None, owned.row.restart_wish
        if owned.truth.linked:
            self._changes.say(owned, "disconnected", "restarting", "The connection is being made anew.")

    async def _log_out(self, owned: Owned) -> None:
        by_phone = owned.wipe
        await self._bridge.close(owned.id, term=owned.term, log_out=True)
        self._changes.gone(owned)
        owned.wipe, owned.truth.linked = False, False
        if not by_phone:  # else the reaction to it has said when to go on
            owned.truth.retry_at = None
            owned.truth.phone = owned.truth.lid = owned.truth.push_name = ""
            self._changes.say(owned, "unlinked", "logged_out_on_request", "")
        self._truths.mark(owned)

    async def _release(self, owned: Owned) -> None:
        if owned.open != "no":
            await self._bridge.close(owned.id, term=owned.term)
            self._changes.gone(owned)
        await self.on_release([owned], owned.leaving or "nothing_to_do")

    def _failed(self, owned: Owned, action: Action, error: Exception) -> None:
        code = error.code if isinstance(error, BridgeError) else "bridge_unavailable"
        surprise = not isinstance(error, (BridgeError, DatabaseError))
        log.warning("link.failed", session=str(owned.id), action=str(action), error=code, exc_info=surprise)
        self._changes.opening.discard(owned.id)
        if code == "stale_term":
            self.lose(owned)
        elif code == "not_linked":
            self._changes.no_credentials(owned)
        elif action in _OPENS or (code == "bridge_unavailable" and not isinstance(error, DatabaseError)):
            self.closed(owned, code)

    # --- What the bridge tells

    def take_status(self, status: Status) -> None:
        owned = self._table.get(status.session)
        if owned is None or owned.term != status.term:
            return
        if status.state == "closed" and status.close_reason == "stale_term":
            self.lose(owned)
            return
        self._changes.take(owned, status)
        self.consider(owned)

    def closed(self, owned: Owned, reason: str) -> None:
        """Its connection is gone, although the bridge did not say so."""
        self._changes.closed(owned, reason, {})

    def reconnect(self, owned: Owned) -> None:
        """The socket is suspected to be dead, whatever it says."""
        if self._table.holds(owned) and owned.open == "connected" and not owned.acting:
            owned.acting = True
            self._spawn(self._act(owned, Action.RESTART))

    def quarantine(self, owned: Owned) -> None:
        self._changes.quarantine(owned)

    def all_closed(self, reason: str) -> None:
        """The bridge is gone, and every socket with it."""
        for owned in self._table:
            if owned.open != "no":
                self.closed(owned, reason)

    # --- What is lost

    def lose(self, owned: Owned) -> None:
        """It is not ours any more: forget it, and let the bridge close what it may still hold of it."""
        log.warning("session.lost", session=str(owned.id), term=owned.term)
        self._changes.opening.discard(owned.id)
        self._table.remove(owned)
        if owned.open != "no":
            self._spawn(self._let_go(owned))

    def lose_all(self) -> None:
        for owned in self._table:
            self.lose(owned)

    async def _let_go(self, owned: Owned) -> None:
        try:
            await self._bridge.close(owned.id, term=owned.term)
        except BridgeError as error:
            log.warning("session.close_failed", session=str(owned.id), error=str(error)[:300])

    async def close_sockets(self, sessions: Sequence[Owned]) -> None:
        """Without logging out; sends under way end as unknown."""
        await asyncio.gather(*(self._let_go(owned) for owned in sessions if owned.open != "no"))
        for owned in sessions:
            self._changes.gone(owned)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
