"""The stub bridge in a thread of its own, for tests; also what the worker sees of its bridge process."""

import asyncio
import threading
from collections.abc import Callable

from restaurant_wa.bench.stub_bridge import Json, StubBridge, acked
from workers.bridge_process import BridgeStatus

__all__ = ["Json", "StubBridge", "StubBridgeThread", "acked"]


class StubBridgeThread:
    def __init__(self, stub: StubBridge) -> None:
        self.stub = stub
        self.status = BridgeStatus()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stub-bridge", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._runner = asyncio.run_coroutine_threadsafe(self.stub.serve(), self._loop).result(10)
        self.status = BridgeStatus(True, f"http://127.0.0.1:{self.stub.port}", "", self.status.generation + 1)

    def do(self, act: Callable[[], None]) -> None:
        """Runs `act` in the stub's own thread."""

        async def run() -> None:
            act()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
