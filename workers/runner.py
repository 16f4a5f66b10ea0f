"""The thread in which a session worker's engine runs."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from uuid import UUID

import structlog
import uvloop

from workers.bridge_process import BridgeHost
from workers.config import Config
from workers.engine import Engine

log = structlog.get_logger(__name__)
START_TIMEOUT_S = 10.0


class Runner:
    """Thread-safe around an engine that is not. `on_end` is called when the engine ends without having been asked to."""

    def __init__(self, *, config: Config, host: BridgeHost, on_end: Callable[[], None] = lambda: None) -> None:
        self._config = config
        self._host = host
        self._on_end = on_end
        self._loop: asyncio.AbstractEventLoop | None = None
        self._engine: Engine | None = None
        self._started = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._main, name="runner", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._started.wait(START_TIMEOUT_S)

    def wake(self, sessions: Iterable[UUID]) -> None:
        """A hint, never more: it is dropped when the engine is not there."""
        loop, engine = self._loop, self._engine
        if loop is None or engine is None:
            return
        try:
            loop.call_soon_threadsafe(engine.wake, list(sessions))
        except RuntimeError:  # the loop has just closed
            log.debug("runner.wake_dropped")

    def begin_stop(self) -> None:
        """The engine drains and releases from now on. Takes no lock: the handler of a signal may call it."""
        self._stopping = True
        loop, engine = self._loop, self._engine
        if loop is not None and engine is not None:
            with suppress(RuntimeError):  # the loop has been closed: it has stopped already
                loop.call_soon_threadsafe(engine.stop)

    def stop(self, timeout_s: float) -> bool:
        """Drains and releases. Whether it was done in time."""
        self.begin_stop()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _main(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
                loop.run(self._run())
        except Exception:
            log.exception("runner.crashed")
        if not self._stopping:
            self._on_end()

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._engine = Engine(config=self._config, host=self._host, on_replaced=self._replaced)
        self._started.set()
        await self._engine.run()

    def _replaced(self) -> None:
        """Another process has taken this worker's name: two would wake and starve each other."""
        log.error("runner.replaced", name=self._config.name)
        self._on_end()
