"""The stub bridge for tests, which keeps what it was asked and refuses what it is told to: in a thread of its own, as what a
worker sees of its bridge process; and as a program that a session brings down, `… --kills ID`."""

import argparse
import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from aiohttp import web

from restaurant_wa.bench import stub_bridge
from restaurant_wa.bench.stub_bridge import Answer, Json, acked, answer_after, refusal, run
from workers.bridge_process import BridgeStatus

__all__ = ["Json", "StubBridge", "StubBridgeThread", "acked"]


class StubBridge(stub_bridge.StubBridge):
    """Sessions are linked by codes. From any other thread it is touched through `StubBridgeThread.do`."""

    def __init__(self, *, secret: str = "", answer: Answer = acked) -> None:
        super().__init__(secret=secret, answer=answer)
        self.linked: set[str] = set()  # sessions that hold credentials
        self.refuse_open: dict[str, tuple[int, str]] = {}  # session: HTTP status, code
        self.refuse_ask: set[str] = set()  # sessions whose restrictions cannot be asked for
        self.connects = True  # whether a login ends in `connected` at once
        self.sends: list[tuple[str, Json]] = []
        self.calls: list[tuple[str, str, Json]] = []  # method, session, body or query
        self.leases: list[tuple[int, int]] = []  # after how many calls, for how many milliseconds
        self.leasable, self.refused_leases = True, 0

    def scan(self, session: str, phone: str) -> None:
        self.linked.add(session)
        self.tell(session, "connected", phone=phone, lid="1@lid", name="Luigi")

    async def _put(self, request: web.Request) -> web.Response:
        session, body = request.match_info["id"], await request.json()
        self.calls.append(("PUT", session, body))
        if session in self.refuse_open:
            return refusal(*self.refuse_open[session])
        if session not in self.linked and "link" not in body:
            return refusal(409, "not_linked")
        return await super()._put(request)

    def _begin(self, session: str, body: Json) -> None:
        if session in self.linked and self.connects:
            super()._begin(session, body)
        elif session in self.linked:
            self.tell(session, "connecting")
        elif body["link"]["mode"] == "code":
            self.tell(session, "linking", pairing_code={"code": "ABCD1234", "expires_at": _in(60)})
        else:
            self.tell(session, "linking", qr={"text": f"qr-of-{session}", "generated_at": _in(0), "expires_at": _in(60)})

    async def _lease(self, request: web.Request) -> web.Response:
        if not self.leasable:
            self.refused_leases += 1
            return refusal(500, "internal")
        self.leases.append((len(self.calls), (await request.json())["good_for_ms"]))
        return await super()._lease(request)

    async def _delete(self, request: web.Request) -> web.Response:
        session = request.match_info["id"]
        self.calls.append(("DELETE", session, dict(request.query)))
        if request.query.get("logout") == "true":
            self.linked.discard(session)
        return await super()._delete(request)

    async def _answered_or_cut(self, session: str, send: Json) -> Json:
        self.sends.append((session, send))
        return await super()._answered_or_cut(session, send)

    async def _ask(self, request: web.Request) -> web.Response:
        session = request.match_info["id"]
        self.calls.append(("ASK", session, await request.json()))
        return refusal(409, "not_connected") if session in self.refuse_ask else await super()._ask(request)


def _in(seconds: float) -> str:
    return datetime.fromtimestamp(datetime.now(UTC).timestamp() + seconds, UTC).isoformat()


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


class Poisoned(stub_bridge.StubBridge):
    """One session ends this process whenever it logs in, or has it stand still for ever."""

    def __init__(self, *, kills: str, hangs: str, answer: Answer, secret: str) -> None:
        super().__init__(secret=secret, answer=answer)
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
