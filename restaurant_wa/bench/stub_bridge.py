"""A bridge without WhatsApp: what a worker uses of the HTTP contract of `node_bridge/README.md`, answered from memory.

For measuring the worker alone. Every session is linked and connects at once. As a program, which needs nothing but aiohttp, it
behaves towards its parent as the real one does; a send takes `--latency-ms` beside its typing, and `--book` is told when each one
came and was answered. BRIDGE_COMMAND puts it in the real one's place.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

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
    """`answer` decides what becomes of each send."""

    def __init__(self, *, secret: str = "", answer: Answer = acked) -> None:
        self.answer = answer
        self.open: dict[str, Json] = {}  # session: Status
        self.port = 0
        self._secret = secret
        self._under_way: dict[str, set[asyncio.Future[Json]]] = defaultdict(set)  # sends, by session
        self._streams: set[asyncio.Queue[Json]] = set()

    def tell(self, session: str, state: str, **fields: Any) -> None:
        """Something became true of a session."""
        if session not in self.open:
            return
        status = self.open[session] = {**self.open[session], "qr": None, "pairing_code": None, "state": state, **fields}
        if state == "closed":
            del self.open[session]
            for send in self._under_way.pop(session, ()):
                send.cancel()
        for stream in self._streams:
            stream.put_nowait(status)

    def close(self, session: str, reason: str, detail: Json | None = None) -> None:
        self.tell(session, "closed", close={"code": None, "reason": reason, "detail": detail})

    # --- The contract

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.router.add_put("/session/{id}", self._put)
        app.router.add_delete("/session/{id}", self._delete)
        app.router.add_post("/messages", self._send_all)
        app.router.add_post("/session/{id}/restrictions", self._ask)
        app.router.add_put("/lease", self._lease)
        app.router.add_get("/sessions", self._sessions)
        app.router.add_get("/signals", self._signals)
        return app

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if self._secret and request.headers.get("Authorization") != f"Bearer {self._secret}":
            return refusal(401, "unauthorized")
        return await handler(request)

    async def _put(self, request: web.Request) -> web.Response:
        session, body = request.match_info["id"], await request.json()
        status = self.open.get(session, {})
        if status.get("term", 0) > body["term"]:
            return refusal(409, "stale_term")
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
        return web.json_response({"held": good_for_ms > 0})

    def _begin(self, session: str, _: Json) -> None:
        self.tell(session, "connected")  # whose number it is its row knows

    async def _delete(self, request: web.Request) -> web.Response:
        session, log_out = request.match_info["id"], request.query.get("logout") == "true"
        self.close(session, "requested")
        return web.json_response({"closed": True, "logged_out": log_out})

    async def _send_all(self, request: web.Request) -> web.StreamResponse:
        lines = web.StreamResponse()
        await lines.prepare(request)

        async def send(one: Json) -> None:
            session, message = one["session"], {name: value for name, value in one.items() if name != "session"}
            answer = await self._send(session, message)
            await lines.write(json.dumps({"session": session, "id": message["id"], **answer}).encode() + b"\n")

        await asyncio.gather(*map(send, (await request.json())["sends"]))
        return lines

    async def _send(self, session: str, send: Json) -> Json:
        if session not in self.open or self.open[session]["state"] != "connected":
            return {"outcome": "not_sent", "reason": "not_connected"}
        return await self._answered_or_cut(session, send)

    async def _ask(self, _: web.Request) -> web.Response:
        return web.json_response({"asked": True}, status=202)

    async def _answered_or_cut(self, session: str, send: Json) -> Json:
        """The end of the socket answers a send that is under way."""
        answer = asyncio.ensure_future(self.answer(session, send))
        self._under_way[session].add(answer)
        try:
            return await answer
        except asyncio.CancelledError:
            return {"outcome": "unknown", "reason": "connection_lost"}
        finally:
            self._under_way[session].discard(answer)

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


def refusal(status: int, code: str) -> web.Response:
    return web.json_response({"error": {"code": code, "message": code, "detail": None}}, status=status)


# --- As a program


def answer_after(latency_s: float, book: IO[str] | None = None) -> Answer:
    """As late as the real one. The book has a line for each send: session, WhatsApp id, when it went over the wire (after its
    typing) and when it was answered, in seconds of the monotonic clock, which all processes of a machine share."""

    async def answer(session: str, send: Json) -> Json:
        went = time.monotonic() + send.get("typing_ms", 0) / 1000
        await asyncio.sleep(latency_s + send.get("typing_ms", 0) / 1000)
        if book:
            book.write(f"{session} {send['id']} {went:.6f} {time.monotonic():.6f}\n")
        return await acked(session, send)

    return answer


async def _main(port: int, latency_s: float, book: IO[str] | None) -> None:
    stub = StubBridge(secret=os.environ.get("WHATSAPP_SECRET", ""), answer=answer_after(latency_s, book))
    stub.port = port
    await run(stub)


async def run(stub: StubBridge) -> None:
    """Until SIGTERM or the parent's death."""
    await stub.serve()
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    await loop.connect_read_pipe(lambda: _EndOfFile(over.set), sys.stdin)
    print(json.dumps({"ready": True, "port": stub.port, "pid": os.getpid()}), flush=True)
    await over.wait()


class _EndOfFile(asyncio.Protocol):
    """The parent holds the other end of stdin: when it is gone, so is this."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then = then

    def connection_lost(self, exc: Exception | None) -> None:
        self._then()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=int(os.environ.get("WHATSAPP_PORT", "0")))
    parser.add_argument("--latency-ms", type=float, default=50)
    parser.add_argument("--book", type=Path)
    given = parser.parse_args()
    if given.book:
        with given.book.open("a") as book:
            asyncio.run(_main(given.port, given.latency_ms / 1000, book))
    else:
        asyncio.run(_main(given.port, given.latency_ms / 1000, None))
