"""Tells webhooks what is due: many at once, so that one that is slow keeps none of the others waiting."""

import asyncio
import os
import random
import socket
from ipaddress import ip_address
from uuid import UUID

import aiohttp
import structlog
from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver
from django.conf import settings
from django.utils import timezone

from sessions_app.policy import addresses
from sessions_app.policy.webhooks import Answer, judge, retry_after, sign
from sessions_app.services import deliveries
from sessions_app.services.deliveries import Due, Result
from workers.clocks import steady
from workers.database import Database

log = structlog.get_logger(__name__)

FOR_S = 5.0  # then it takes nothing new, and the next task goes on
TIMEOUT_S = 10.0
LOOK_EVERY_S = 0.2
READ_BYTES = 4_096  # of an answer's body: nobody looks at it, and a connection that was read to its end can be used again


async def deliver(*, for_s: float = FOR_S, timeout_s: float = TIMEOUT_S) -> None:
    """Until nothing is due or `for_s` have passed, and all answers have come. Raises django.db.Error; what was under way then is
    tried again when its lease has ended."""
    database = Database("webhooks")
    try:
        async with _client(timeout_s) as http:
            await _Round(http, database, timeout_s).run(steady() + for_s)
    finally:
        await database.close()


class _Round:
    def __init__(self, http: aiohttp.ClientSession, database: Database, timeout_s: float) -> None:
        self._http = http
        self._database = database
        self._timeout_s = timeout_s
        self._under_way: dict[asyncio.Task[Answer], Due] = {}

    async def run(self, until: float) -> None:
        while True:
            if steady() < until:
                await self._start()
            if not self._under_way:
                return
            await asyncio.wait(self._under_way, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            await self._settle()

    async def _start(self) -> None:
        room = deliveries.MOST_AT_ONCE - len(self._under_way)
        if room:
            for due in await self._database.call(deliveries.take, most=room, busy=self._busy()):
                self._under_way[asyncio.create_task(_post(self._http, due, self._timeout_s))] = due

    def _busy(self) -> set[UUID]:
        """Webhooks that are to get nothing more before an answer comes."""
        under_way = [due.webhook for due in self._under_way.values()]
        failing = {due.webhook for due in self._under_way.values() if due.failing}
        return failing | {webhook for webhook in under_way if under_way.count(webhook) >= deliveries.EACH}

    async def _settle(self) -> None:
        done = [post for post in self._under_way if post.done()]
        if not done:
            return
        results = [_result(self._under_way.pop(post), post.result()) for post in done]
        under_way = [due.delivery for due in self._under_way.values()]
        await self._database.call(deliveries.settle, results=results, under_way=under_way)
        for result in results:
            _tell(result)


def _result(due: Due, answer: Answer) -> Result:
    return Result(due, answer, judge(answer, attempts=due.attempts, now=timezone.now(), jitter=random.random()))


def _tell(result: Result) -> None:
    due, answer = result.due, result.answer
    if result.verdict.next != "delivered":
        facts = {"status": answer.status, "error": answer.error, "attempts": due.attempts, "next": result.verdict.next}
        log.warning("webhook.not_delivered", webhook=str(due.webhook), topic=due.topic, **facts)


# --- One call


async def _post(http: aiohttp.ClientSession, due: Due, timeout_s: float) -> Answer:
    if why := addresses.refusal(due.url, private=settings.WEBHOOK_PRIVATE_ADDRESSES):
        return Answer(None, why)
    try:
        async with http.post(due.url, data=due.body, headers=_headers(due), allow_redirects=False) as response:
            await response.content.read(READ_BYTES)
            wait = retry_after(response.headers.get("Retry-After"), timezone.now()) if response.status in (429, 503) else None
            return Answer(response.status, _words(response.status), wait)
    except TimeoutError:
        return Answer(None, f"No answer within {timeout_s:g} s.")
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return Answer(None, _why(error))


def _headers(due: Due) -> dict[str, str]:
    now, event_id = timezone.now(), str(due.event_id)
    return {
        "Content-Type": "application/json",
        "User-Agent": "restaurant-wa/1",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": sign(due.secrets, event_id=event_id, at=now, body=due.body),
    }


def _words(status: int) -> str:
    if 200 <= status < 300:
        return ""
    return f"Answered with {status}; redirects are not followed." if 300 <= status < 400 else f"Answered with {status}."


def _why(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError(os_error=_Inside()):
            return "Its name leads into the installation's own network, which is not allowed here."
        case aiohttp.ClientConnectorDNSError():
            return "Its name is unknown."
        case aiohttp.ClientSSLError():
            return "Its certificate is not valid, or it does not speak TLS."
        case aiohttp.ClientConnectorError():
            number = error.os_error.errno
            return f"No connection: {os.strerror(number) if number else type(error.os_error).__name__}."
        case _:
            return f"The call broke off ({type(error).__name__})."


# --- Where calls may go


class _Inside(OSError):
    """A name with addresses inside the installation's own network alone."""


class _OutsideOnly(ThreadedResolver):
    """Looked up and judged in one: a name cannot lead elsewhere between the two."""

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        outside = [one for one in found if addresses.is_public(ip_address(one["host"]))]
        if not outside:
            raise _Inside(None, "inside the installation's network")
        return outside


def _client(timeout_s: float) -> aiohttp.ClientSession:
    resolver = ThreadedResolver() if settings.WEBHOOK_PRIVATE_ADDRESSES else _OutsideOnly()
    connector = aiohttp.TCPConnector(resolver=resolver, limit=deliveries.MOST_AT_ONCE, ttl_dns_cache=30)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=timeout_s))
