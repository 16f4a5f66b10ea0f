"""Keeps each session's connection as it is wished: asks `reconcile` what to do, tells the bridge, takes what the bridge tells."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import aiohttp
import structlog
from django.db import Error as DatabaseError

from sessions_app.policy.reactions import react
from sessions_app.policy.reconcile import Action, reconcile
from sessions_app.services.linking import SessionRow
from workers.bridge import Bridge, BridgeError, Status
from workers.clocks import DatabaseClock, Lease, steady
from workers.table import Owned, Table
from workers.truths import Truths

log = structlog.get_logger(__name__)
STUCK_AFTER_S = 90.0  # the bridge gives up by itself long before
REST_AFTER_ERROR_S = 2.0
_EXPECTED = (BridgeError, DatabaseError, OSError, TimeoutError, aiohttp.ClientError)
_OPENS = {Action.OPEN, Action.LINK_QR, Action.LINK_CODE}


class Links:
    def __init__(
        self, *, name: str, table: Table, bridge: Bridge, truths: Truths, clock: DatabaseClock, lease: Lease, max_opening: int
    ) -> None:
        self.on_release: Callable[[list[Owned], str], Awaitable[None]]
        self.paused = False  # at the end of the worker, and while there is no bridge
        self._name = name
        self._table = table
        self._bridge = bridge
        self._truths = truths
        self._clock = clock
        self._lease = lease
        self._max_opening = max_opening
        self._opening: set[UUID] = set()
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
        for owned in self._table:
            if not owned.settled:
                self.consider(owned)

    def consider(self, owned: Owned) -> None:
        """Starts what is to be done next, if anything is. Cheap, and harmless to repeat."""
        if self.paused or owned.acting or owned.rest_until > steady() or not self._lease.held() or not self._table.holds(owned):
            return
        action = self._next(owned)
        if action is Action.NOTHING:
            return
        if action in _OPENS:
            if len(self._opening) >= self._max_opening:
                return
            self._opening.add(owned.id)
        owned.acting = True
        self._spawn(self._act(owned, action))

    def _next(self, owned: Owned) -> Action:
        if owned.leaving:
            return Action.NOTHING if owned.in_flight else Action.RELEASE
        if owned.wipe:
            return Action.LOG_OUT
        if owned.open == "connecting" and steady() - owned.opened_at > STUCK_AFTER_S:
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
            self._say(owned, "connecting", "", "")
        else:
            owned.open, owned.linking_phone = "linking", owned.row.link_phone
            link = {"mode": "code", "phone": owned.row.link_phone} if owned.row.link_phone else {"mode": "qr"}
        owned.opened_at, heard = steady(), owned.heard
        owned.truth.restart_done = owned.row.restart_wish
        status = await self._bridge.open(owned.id, owner=self._name, term=owned.term, link=link)
        if owned.heard == heard:  # the stream of signals has not overtaken this answer
            self.take_status(status)

    async def _close(self, owned: Owned) -> None:
        if owned.open != "no":
            await self._bridge.close(owned.id, term=owned.term)
        was_linking = owned.open == "linking"
        self._gone(owned)
        if not owned.truth.linked:
            reason = "requested" if owned.row.link_until is None else "link_expired"
            self._say(owned, "unlinked", reason, "" if reason == "requested" else "Nobody scanned the code in time.")
            owned.truth.link_ended = owned.row.link_until if was_linking else owned.truth.link_ended
        elif owned.row.desired == "offline":
            self._say(owned, "stopped", "requested", "")

    async def _restart(self, owned: Owned) -> None:
        if owned.open != "no":
            await self._bridge.close(owned.id, term=owned.term)
        self._gone(owned)
        owned.truth.retry_at, owned.truth.restart_done = None, owned.row.restart_wish
        if owned.truth.linked:
            self._say(owned, "disconnected", "restarting", "The connection is being made anew.")

    async def _log_out(self, owned: Owned) -> None:
        by_phone = owned.wipe
        await self._bridge.close(owned.id, term=owned.term, log_out=True)
        self._gone(owned)
        owned.wipe, owned.truth.linked, owned.truth.retry_at = False, False, None
        if not by_phone:
            owned.truth.phone = owned.truth.lid = owned.truth.push_name = ""
            self._say(owned, "unlinked", "logged_out_on_request", "")
        self._truths.mark(owned)

    async def _release(self, owned: Owned) -> None:
        if owned.open != "no":
            await self._bridge.close(owned.id, term=owned.term)
            self._gone(owned)
        await self.on_release([owned], owned.leaving or "nothing_to_do")

    def _failed(self, owned: Owned, action: Action, error: Exception) -> None:
        code = error.code if isinstance(error, BridgeError) else "bridge_unavailable"
        surprise = not isinstance(error, _EXPECTED)
        log.warning("link.failed", session=str(owned.id), action=str(action), error=code, exc_info=surprise)
        self._opening.discard(owned.id)
        if code == "stale_term":
            self.lose(owned)
        elif code == "not_linked":
            self._no_credentials(owned)
        elif action in _OPENS or code == "bridge_unavailable":
            self.closed(owned, code, {})

    def _no_credentials(self, owned: Owned) -> None:
        self._gone(owned)
        owned.truth.linked = False
        detail = "No credentials are held. Link the number again; waiting messages are kept."
        self._say(owned, "logged_out", "not_linked", detail)

    # --- What the bridge tells

    def take_status(self, status: Status) -> None:
        owned = self._table.get(status.session)
        if owned is None or owned.term != status.term:
            return
        owned.heard += 1
        if status.state == "closed":
            if status.close_reason != "requested":  # what this worker asked for it knows from the answer
                self.closed(owned, status.close_reason, status.close_detail)
        else:
            if status.state != "connecting":
                self._opening.discard(owned.id)
            {"linking": self._linking, "connecting": self._connecting, "connected": self._connected}[status.state](owned, status)
        self.consider(owned)

    def _linking(self, owned: Owned, status: Status) -> None:
        owned.open = "linking"
        shown = status.qr or status.pairing_code
        truth = owned.truth
        truth.qr = status.qr.text if status.qr else ""
        truth.pairing_code = status.pairing_code.text if status.pairing_code else ""
        truth.qr_generated_at = shown.generated_at if shown else None
        truth.qr_expires_at = shown.expires_at if shown else None
        self._say(owned, "linking", "", "")

    def _connecting(self, owned: Owned, status: Status) -> None:
        if owned.open == "linking":
            owned.opened_at = steady()
        owned.open = "connecting"
        self._hide_codes(owned)
        self._say(owned, "connecting", "", "" if owned.truth.linked else "The phone has scanned the code.")

    def _connected(self, owned: Owned, status: Status) -> None:
        truth = owned.truth
        if owned.open != "connected":
            owned.open, owned.up_since = "connected", steady()
            truth.connected_at = self._clock.now()
        self._hide_codes(owned)
        truth.linked, truth.retry_at, truth.failures = True, None, 0
        truth.link_ended = owned.row.link_until or truth.link_ended
        truth.phone, truth.lid, truth.push_name = (
            status.phone or truth.phone,
            status.lid or truth.lid,
            status.name or truth.push_name,
        )
        self._say(owned, "connected", "", "")

    def closed(self, owned: Owned, reason: str, detail: dict[str, Any]) -> None:
        """The connection ended by itself."""
        if reason == "stale_term":
            self.lose(owned)
            return
        up_for = None if owned.up_since is None else timedelta(seconds=steady() - owned.up_since)
        reaction = react(
            reason,
            linked=owned.truth.linked,
            failures=owned.failures,
            connected_for=up_for,
            detail=detail,
            now=self._clock.now(),
            jitter=random.random(),
        )
        self._gone(owned)
        owned.failures = owned.truth.failures = reaction.failures
        owned.wipe = reaction.wipe
        owned.truth.retry_at = reaction.retry_at
        if reaction.end_link:
            owned.truth.link_ended = owned.row.link_until
        self._say(owned, reaction.state, reason, reaction.detail)

    def reconnect(self, owned: Owned) -> None:
        """The socket is suspected to be dead, whatever it says."""
        if self._table.holds(owned) and owned.open == "connected" and not owned.acting:
            owned.acting = True
            self._spawn(self._act(owned, Action.RESTART))

    def all_closed(self, reason: str) -> None:
        """The bridge is gone, and every socket with it."""
        for owned in self._table:
            if owned.open != "no":
                self.closed(owned, reason, {})

    # --- What is lost

    def lose(self, owned: Owned) -> None:
        """It is not ours any more: forget it, and let the bridge close what it may still hold of it."""
        log.warning("session.lost", session=str(owned.id), term=owned.term)
        self._opening.discard(owned.id)
        self._table.remove(owned)
        if owned.open != "no":
            self._spawn(self._let_go(owned))

    def lose_all(self) -> None:
        for owned in self._table:
            self.lose(owned)

    async def _let_go(self, owned: Owned) -> None:
        try:
            await self._bridge.close(owned.id, term=owned.term)
        except _EXPECTED as error:
            log.warning("session.close_failed", session=str(owned.id), error=type(error).__name__)

    async def close_sockets(self, sessions: Sequence[Owned]) -> None:
        """Without logging out; sends under way end as unknown."""
        await asyncio.gather(*(self._let_go(owned) for owned in sessions if owned.open != "no"))
        for owned in sessions:
            self._gone(owned)

    # --- Small ones

    def _gone(self, owned: Owned) -> None:
        owned.open, owned.linking_phone, owned.up_since = "no", None, None
        self._opening.discard(owned.id)
        self._hide_codes(owned)

    def _hide_codes(self, owned: Owned) -> None:
        truth = owned.truth
        truth.qr = truth.pairing_code = ""
        truth.qr_generated_at = truth.qr_expires_at = None

    def _say(self, owned: Owned, state: str, reason: str, detail: str) -> None:
        truth = owned.truth
        if (truth.state, truth.reason) != (state, reason):
            truth.events.append({"from": truth.state, "to": state, **({"reason": reason} if reason else {})})
            log.info("session.state", session=str(owned.id), restaurant=str(owned.row.restaurant), state=state, reason=reason)
        truth.state, truth.reason, truth.detail = state, reason, detail
        self._truths.mark(owned)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
