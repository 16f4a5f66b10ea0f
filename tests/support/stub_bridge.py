"""The stub bridge for tests: in a thread of its own, as what the worker sees of its bridge process; and as a program that a
session brings down, `python -m tests.support.stub_bridge --kills SESSION`."""

import argparse
import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable

from restaurant_wa.bench.stub_bridge import Answer, Everything, Json, StubBridge, acked, answer_after, run
from workers.bridge_process import BridgeStatus

__all__ = ["Json", "StubBridge", "StubBridgeThread", "acked"]


class StubBridgeThread:
    def __init__(self, stub: StubBridge) -> None:
        self.stub = stub
        self.status = BridgeStatus()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stub-bridge", daemon=True)

    def kill_hung(self, generation: int) -> None:
        raise AssertionError("a thread cannot be killed: such tests take a process")

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


class Poisoned(StubBridge):
    """One session ends this process whenever it logs in, or has it stand still for ever."""

    def __init__(self, *, kills: str, hangs: str, answer: Answer, secret: str) -> None:
        super().__init__(secret=secret, answer=answer, forgets=True)
        self.linked = Everything()
        self._kills, self._hangs = kills, hangs

    def _begin(self, session: str, body: Json) -> None:
        if session == self._kills:
            os.kill(os.getpid(), signal.SIGKILL)
        if session == self._hangs:
            time.sleep(3_600)
        super()._begin(session, body)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", default="", help="the session that ends the process whenever it logs in")
    parser.add_argument("--hangs", default="", help="the session that has the process stand still for ever when it logs in")
    parser.add_argument("--latency-ms", type=float, default=50)
    given = parser.parse_args()
    answer, secret = answer_after(given.latency_ms / 1000), os.environ.get("WHATSAPP_SECRET", "")
    asyncio.run(run(Poisoned(kills=given.kills, hangs=given.hangs, answer=answer, secret=secret)))
