"""A bridge without WhatsApp: the HTTP contract of `node_bridge/README.md`, answered from memory.

For tests of the worker alone and for benchmarks of its pace. `python -m tests.support.stub_bridge --latency-ms 50` runs it as a
process that behaves towards its parent as the real one does.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

Json = dict[str, Any]
Answer = Callable[[str, Json], Awaitable[Json]]


async def acked(session: str, send: Json) -> Json:
    return {
        "outcome": "acked",
        "address": f"{send['to']['phone'].lstrip('+')}@s.whatsapp.net",
        "at": datetime.now(UTC).isoformat(),
    }


class StubBridge:
    """`answer` decides what becomes of each send. Everything that was asked is kept, in order, in `sends` and `calls`."""

    def __init__(self, *, secret: str = "", answer: Answer = acked) -> None:
        self.answer = answer
        self.linked: set[str] = set()  # sessions that hold credentials
        self.refuse_open: dict[str, tuple[int, str]] = {}  # session: HTTP status, code
        self.connects = True  # whether a login ends in `connected` at once
        self.open: dict[str, Json] = {}  # session: Status
        self.sends: list[tuple[str, Json]] = []
        self.calls: list[tuple[str, str, Json]] = []  # method, session, body or query
        self.leases: list[tuple[int, int]] = []  # after how many calls, for how many milliseconds
        self.leasable, self.refused_leases = True, 0
        self.kills = self.hangs = ""  # the session that ends this process whenever it logs in; that has it stand still for ever
        self.port = 0
        self._secret = secret
        self._ends: dict[str, asyncio.Event] = {}  # set when the session's socket ends
        self._streams: set[asyncio.Queue[Json]] = set()

    # --- What tests do to it; from any thread through `loop`

    def tell(self, session: str, state: str, **fields: Any) -> None:
        """Something became true of a session."""
        if session not in self.open:
            return
        status = self.open[session] = {**self.open[session], "qr": None, "pairing_code": None, "state": state, **fields}
        if state == "closed":
            del self.open[session]
            self._ends.pop(session, asyncio.Event()).set()
        for stream in self._streams:
            stream.put_nowait(status)

    def close(self, session: str, reason: str, detail: Json | None = None) -> None:
        self.tell(session, "closed", close={"code": None, "reason": reason, "detail": detail})

    def scan(self, session: str, phone: str) -> None:
        self.linked.add(session)
        self.tell(session, "connected", phone=phone, lid="1@lid", name="Luigi")

    # --- The contract

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.router.add_put("/session/{id}", self._put)
        app.router.add_delete("/session/{id}", self._delete)
        app.router.add_post("/session/{id}/messages", self._send)
        app.router.add_put("/lease", self._lease)
        app.router.add_get("/sessions", self._sessions)
        app.router.add_get("/signals", self._signals)
        return app

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if self._secret and request.headers.get("Authorization") != f"Bearer {self._secret}":
            return _refusal(401, "unauthorized")
        return await handler(request)

    async def _put(self, request: web.Request) -> web.Response:
        session, body = request.match_info["id"], await request.json()
        self.calls.append(("PUT", session, body))
        if session in self.refuse_open:
            return _refusal(*self.refuse_open[session])
        if session not in self.linked and "link" not in body:
            return _refusal(409, "not_linked")
        status = self.open.get(session, {})
        if status.get("term", 0) > body["term"]:
            return _refusal(409, "stale_term")
        self.open[session] = {
            "id": session,
            "term": body["term"],
            "state": "connecting",
            "phone": None,
            "lid": None,
            "name": None,
        }
        self._begin(session, body)
        return web.json_response(
            self.open.get(session) or {"id": session, "term": body["term"], "state": "connecting"}, status=202
        )

    async def _lease(self, request: web.Request) -> web.Response:
        good_for_ms = (await request.json())["good_for_ms"]
        if not self.leasable:
            self.refused_leases += 1
            return _refusal(500, "internal")
        self.leases.append((len(self.calls), good_for_ms))
        return web.json_response({"held": good_for_ms > 0})

    def _begin(self, session: str, body: Json) -> None:
        if session == self.kills:
            os.kill(os.getpid(), signal.SIGKILL)
        if session == self.hangs:
            time.sleep(3_600)
        if session in self.linked:
            self.tell(session, "connected" if self.connects else "connecting", phone="+4915112345678", lid="1@lid", name="Luigi")
        elif body["link"]["mode"] == "code":
            self.tell(session, "linking", pairing_code={"code": "ABCD1234", "expires_at": _in(60)})
        else:
            self.tell(session, "linking", qr={"text": f"qr-of-{session}", "generated_at": _in(0), "expires_at": _in(60)})

    async def _delete(self, request: web.Request) -> web.Response:
        session, log_out = request.match_info["id"], request.query.get("logout") == "true"
        self.calls.append(("DELETE", session, dict(request.query)))
        if log_out:
            self.linked.discard(session)
        self.close(session, "requested")
        return web.json_response({"closed": True, "logged_out": log_out})

    async def _send(self, request: web.Request) -> web.Response:
        session, send = request.match_info["id"], await request.json()
        if session not in self.open or self.open[session]["state"] != "connected":
            return web.json_response({"outcome": "not_sent", "reason": "not_connected"})
        self.sends.append((session, send))
        return web.json_response(await self._answered_or_cut(session, send))

    async def _answered_or_cut(self, session: str, send: Json) -> Json:
        """The end of the socket answers a send that is under way."""
        answer = asyncio.ensure_future(self.answer(session, send))
        cut = asyncio.ensure_future(self._ends.setdefault(session, asyncio.Event()).wait())
        await asyncio.wait({answer, cut}, return_when=asyncio.FIRST_COMPLETED)
        cut.cancel()
        if answer.done():
            return answer.result()
        answer.cancel()
        return {"outcome": "unknown", "reason": "connection_lost"}

    async def _sessions(self, _: web.Request) -> web.Response:
        return web.json_response({"sessions": list(self.open.values())})

    async def _signals(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        stream: asyncio.Queue[Json] = asyncio.Queue()
        for status in list(self.open.values()):
            stream.put_nowait(status)
        self._streams.add(stream)
        try:
            while True:
                try:
                    line = await asyncio.wait_for(stream.get(), 5)
                except TimeoutError:
                    line = {"ping": True}
                await answer.write(json.dumps(line).encode() + b"\n")
        except ConnectionError:
            return answer
        finally:
            self._streams.discard(stream)

    async def serve(self) -> web.AppRunner:
        runner = web.AppRunner(self.app(), shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner


def _refusal(status: int, code: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": code, "detail": None}}, status=status)


def _in(seconds: float) -> str:
    return datetime.fromtimestamp(datetime.now(UTC).timestamp() + seconds, UTC).isoformat()


class StubBridgeThread:
    """The stub in a thread of its own, for tests; also what the worker sees of its bridge process."""

    def __init__(self, stub: StubBridge) -> None:
        from workers.bridge_process import BridgeStatus

        self.stub = stub
        self.status = BridgeStatus()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stub-bridge", daemon=True)
        self._ready = BridgeStatus

    def kill_hung(self, generation: int) -> None:
        raise AssertionError("a thread cannot be killed: such tests take a process")

    def start(self) -> None:
        self._thread.start()
        self._runner = asyncio.run_coroutine_threadsafe(self.stub.serve(), self._loop).result(10)
        self.status = self._ready(True, f"http://127.0.0.1:{self.stub.port}", "", self.status.generation + 1)

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


async def _main(port: int, latency_s: float, kills: str, hangs: str) -> None:
    async def slow(session: str, send: Json) -> Json:
        await asyncio.sleep(latency_s)
        return await acked(session, send)

    stub = StubBridge(secret=os.environ.get("WHATSAPP_SECRET", ""), answer=slow)
    stub.port, stub.kills, stub.hangs = port, kills, hangs
    stub.linked = _Everything()
    await stub.serve()
    print(json.dumps({"ready": True, "port": stub.port, "pid": os.getpid()}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # ends with the parent


class _Everything(set[str]):
    """Every session is linked."""

    def __contains__(self, _: object) -> bool:
        return True


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=50)
    parser.add_argument("--kills", default="", help="the session that ends the process whenever it logs in")
    parser.add_argument("--hangs", default="", help="the session that has the process stand still for ever when it logs in")
    given = parser.parse_args()
    asyncio.run(_main(given.port, given.latency_ms / 1000, given.kills, given.hangs))
