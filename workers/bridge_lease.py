"""Lends the bridge what is left of this worker's lease, and has one that does not answer killed."""

import asyncio
from dataclasses import dataclass

import structlog

from workers.bridge import Bridge, BridgeAway
from workers.bridge_process import BridgeHost
from workers.clocks import Lease, steady

log = structlog.get_logger(__name__)
HUNG_AFTER_S = 15.0
LONGEST_STEP_S = 5.0  # from one call that is not answered to the next; what lasts longer is this process standing still
MOMENT_S = 0.5  # a call may be stuck that was made just before the first one known to be


@dataclass(slots=True)
class Silence:
    """How long calls have been left unanswered, as far as the other side is to blame. Times on the steady clock."""

    began: float
    first_call: float | None = None
    counted_to: float = 0.0
    seconds: float = 0.0

    def unanswered(self, *, asked_at: float, gave_up_at: float) -> None:
        if self.first_call is None:
            self.first_call = self.counted_to = asked_at
        self.seconds += min(gave_up_at - self.counted_to, LONGEST_STEP_S)
        self.counted_to = gave_up_at

    def hung_between(self, *, answered_at: float) -> tuple[float, float]:
        """When it began to hang, given when it last answered anything."""
        since = max(self.began, answered_at)
        return since, max(since, (self.first_call or since) + MOMENT_S)


class BridgeLease:
    """`lend` each time this worker's lease was renewed, and before a new process opens anything."""

    def __init__(self, *, bridge: Bridge, host: BridgeHost, lease: Lease) -> None:
        self.due = asyncio.Event()
        self.hung_between: tuple[float, float] | None = None  # when the process that was killed last had begun to hang
        self._bridge = bridge
        self._host = host
        self._lease = lease
        self._ended = False
        self._calling = asyncio.Lock()  # what was lent must not arrive after the end
        self._generation = 0
        self._silence = Silence(steady())

    async def lend(self) -> None:
        """Raises BridgeError when the bridge refuses."""
        status, left = self._host.status, self._lease.left()
        if left <= 0 or not status.ready or self._bridge.base_url != status.base_url:
            return
        if self._generation != status.generation:
            self._generation, self._silence = status.generation, Silence(steady())
        asked_at = steady()
        try:
            async with self._calling:
                if self._ended:
                    return
                await self._bridge.lease(left)
        except BridgeAway as error:
            self._unanswered(asked_at, error)
            return
        self._silence = Silence(steady())
        if self._host.status.generation == status.generation:
            self._bridge.leased = True

    async def end(self) -> None:
        """The bridge lets go of whatever it still holds. Raises BridgeError."""
        self._ended = True
        async with self._calling:
            await self._bridge.lease(0)

    def _unanswered(self, asked_at: float, error: BridgeAway) -> None:
        silence = self._silence
        silence.unanswered(asked_at=asked_at, gave_up_at=steady())
        log.warning("bridge.silent", seconds=round(silence.seconds, 1), error=str(error))
        if silence.seconds >= HUNG_AFTER_S and self._host.status.generation == self._generation:
            log.error("bridge.hung", seconds=round(silence.seconds, 1), generation=self._generation)
            self.hung_between = silence.hung_between(answered_at=self._bridge.answered_at)
            self._silence = Silence(steady())
            self._host.kill_hung(self._generation)
