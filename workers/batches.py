"""Sends to a bridge, gathered: those of a moment go in one request, and each is answered as soon as its outcome is known.

A request for each was most of what a message cost its worker.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

Json = dict[str, Any]
Post = Callable[[list[Json], float], AsyncIterator[Json]]

GATHER_S = 0.01  # from one request to the next: what comes first after a pause goes at once
MOST = 100  # that the bridge takes in one


class _Asked(NamedTuple):
    send: Json
    timeout_s: float
    answer: asyncio.Future[Json]


class Batches:
    """`post` makes a request of these sends, to be over within so many seconds, and gives the answers as they come."""

    def __init__(self, post: Post) -> None:
        self._post = post
        self._asked: list[_Asked] = []
        self._not_before = 0.0
        self._requests: set[asyncio.Task[None]] = set()

    async def send(self, send: Json, *, timeout_s: float) -> Json:
        """Its answer. Raises what the request raised before it came, ConnectionResetError when there is none, and TimeoutError
        after the longest time that one of the same request may take."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Json] = loop.create_future()
        self._asked.append(_Asked(send, timeout_s, answer))
        if len(self._asked) == 1:
            loop.call_at(max(self._not_before, loop.time()), self._go, loop)
        return await answer

    def _go(self, loop: asyncio.AbstractEventLoop) -> None:
        self._not_before = loop.time() + GATHER_S
        asked, self._asked = self._asked, []
        for begin in range(0, len(asked), MOST):
            request = loop.create_task(self._request(asked[begin : begin + MOST]))
            self._requests.add(request)
            request.add_done_callback(self._requests.discard)

    async def _request(self, asked: list[_Asked]) -> None:
        left = {_key(one.send): one.answer for one in asked}
        over: BaseException = ConnectionResetError("the answer ended before all was known")
        try:
            async for line in self._post([one.send for one in asked], max(one.timeout_s for one in asked)):
                answer = left.pop(_key(line), None)
                if answer and not answer.done():
                    answer.set_result(line)
        except Exception as error:
            over = error
        finally:
            for answer in left.values():
                if not answer.done():
                    answer.set_exception(over)


def _key(send: Json) -> tuple[object, object]:
    return send.get("session"), send.get("id")
