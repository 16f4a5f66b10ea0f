"""Sends that go together, and what becomes of each."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from sessions_app.policy.retry import Outcome
from sessions_app.services.claims import Claim
from workers.batches import GATHER_S, MOST, Batches, Json
from workers.bridge import Bridge

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NOBODY = 9  # a port on which nothing listens


class Network:
    """Answers a request's sends in the order they are let go."""

    def __init__(self) -> None:
        self.requests: list[tuple[float, list[Json], float]] = []  # when, what, within how many seconds
        self.came = asyncio.Semaphore(0)  # so many requests
        self.lines: asyncio.Queue[Json | Exception | None] = asyncio.Queue()  # None: the end

    async def post(self, sends: list[Json], timeout_s: float) -> AsyncIterator[Json]:
        self.requests.append((time.monotonic(), sends, timeout_s))
        self.came.release()
        while line := await self.lines.get():
            if isinstance(line, Exception):
                raise line
            yield line


def send(batches: Batches, one: str, *, timeout_s: float = 1.0) -> asyncio.Task[Json]:
    return asyncio.ensure_future(batches.send({"session": f"of {one}", "id": one}, timeout_s=timeout_s))


def line(one: str) -> Json:
    return {"session": f"of {one}", "id": one, "outcome": one.upper()}


async def test_those_of_a_moment_go_together_and_each_is_answered_at_once() -> None:
    network = Network()
    batches = Batches(network.post)
    a, b = send(batches, "a", timeout_s=3), send(batches, "b", timeout_s=5)
    network.lines.put_nowait(line("b"))
    assert (await b)["outcome"] == "B"
    assert not a.done()
    [(_, sends, timeout_s)] = network.requests
    assert ([one["id"] for one in sends], timeout_s) == (["a", "b"], 5)
    network.lines.put_nowait(line("a"))
    assert (await a)["outcome"] == "A"


async def test_requests_keep_their_distance() -> None:
    network = Network()
    batches = Batches(network.post)
    for end in (line("a"), None):
        network.lines.put_nowait(end)
    await send(batches, "a")
    later = [send(batches, one) for one in "bc"]
    await asyncio.sleep(0)
    later += [send(batches, one) for one in "def"]
    for _ in range(2):
        await network.came.acquire()
    for one in "bcdef":
        network.lines.put_nowait(line(one))
    await asyncio.gather(*later)
    (began, *_), (then, sends, _) = network.requests
    assert then - began >= GATHER_S * 0.9
    assert [one["id"] for one in sends] == list("bcdef")


async def test_no_request_has_more_than_the_bridge_takes() -> None:
    network = Network()
    batches = Batches(network.post)
    asked = [send(batches, str(n)) for n in range(2 * MOST + 1)]
    for _ in range(3):
        await network.came.acquire()
    assert [len(sends) for _, sends, _ in network.requests] == [MOST, MOST, 1]
    for task in asked:
        task.cancel()


@pytest.mark.parametrize("end", [None, TimeoutError("too late"), ValueError("no JSON")])
async def test_what_has_no_answer_when_it_ends_is_not_taken_for_one(end: Exception | None) -> None:
    network = Network()
    batches = Batches(network.post)
    a, b = send(batches, "a"), send(batches, "b")
    for one in (line("a"), {"session": "of x", "id": "x"}, end):
        network.lines.put_nowait(one)
    assert (await a)["outcome"] == "A"
    with pytest.raises(type(end) if end else ConnectionResetError):
        await b


async def test_one_who_gives_up_harms_nobody() -> None:
    network = Network()
    batches = Batches(network.post)
    a, b = send(batches, "a"), send(batches, "b")
    await asyncio.sleep(0)
    a.cancel()
    for one in "ab":
        network.lines.put_nowait(line(one))
    assert (await b)["outcome"] == "B"


# --- Towards a bridge


def claim() -> Claim:
    return Claim(uuid4(), uuid4(), 1, "sending", 0, "3EB0AAAAAAAA", "+4915112345678", "", "", "hello", None, 1, {}, False, 0)


@asynccontextmanager
async def bridge(handler: Any, *, ack_timeout_s: float = 1.0) -> AsyncIterator[Bridge]:
    app = web.Application()
    app.router.add_post("/messages", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with Bridge(secret="", ack_timeout_s=ack_timeout_s) as client:
            client.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            yield client
    finally:
        await runner.cleanup()


async def outcomes(client: Bridge, *claims: Claim) -> list[Outcome]:
    return list(await asyncio.gather(*(client.send(one, now=NOW, typing_ms=0) for one in claims)))


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("invalid_request", Outcome("not_sent", "invalid_request")),
        ("not_found", Outcome("not_sent", "not_connected")),
        ("internal", Outcome("unknown", "connection_lost")),
    ],
)
async def test_one_that_is_refused_is_as_if_it_had_been_asked_alone(code: str, outcome: Outcome) -> None:
    async def refuse_first(request: web.Request) -> web.Response:
        first, second = (await request.json())["sends"]
        lines = {"id": first["id"], "error": {"code": code, "message": "no"}}, {"id": second["id"], "outcome": "acked"}
        named = ({"session": one["session"], **said} for one, said in zip((first, second), lines, strict=True))
        return web.Response(text="".join(f"{web.json_response(one).text}\n" for one in named))

    async with bridge(refuse_first) as client:
        assert await outcomes(client, claim(), claim()) == [outcome, Outcome("acked")]


async def test_a_connection_that_ends_leaves_unknown_what_was_not_answered() -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        first, _ = (await request.json())["sends"]
        lines = web.StreamResponse()
        await lines.prepare(request)
        await lines.write(f'{{"session": "{first["session"]}", "id": "{first["id"]}", "outcome": "acked"}}\n'.encode())
        assert request.transport
        request.transport.abort()
        return lines

    async with bridge(cut) as client:
        assert await outcomes(client, claim(), claim()) == [Outcome("acked"), Outcome("unknown", "connection_lost")]


async def test_a_bridge_that_refuses_the_request_has_sent_none_of_it() -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"error": {"code": "unauthorized", "message": "no"}}, status=401)

    async with bridge(refuse) as client:
        assert await outcomes(client, claim(), claim()) == [Outcome("not_sent", "bridge_unavailable")] * 2


@pytest.mark.parametrize("url", ["", f"http://127.0.0.1:{NOBODY}"], ids=["none runs", "it has just ended"])
async def test_a_bridge_that_is_not_there_has_sent_nothing(url: str) -> None:
    async with Bridge(secret="", ack_timeout_s=1.0) as client:
        client.base_url = url
        assert await outcomes(client, claim()) == [Outcome("not_sent", "bridge_unavailable")]


async def test_a_bridge_that_hangs_is_given_up_as_a_missing_ack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.bridge.CALL_TIMEOUT_S", 0.1)
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    async with bridge(hang, ack_timeout_s=0.1) as client:
        assert await outcomes(client, claim()) == [Outcome("unknown", "ack_timeout")]
        released.set()
