"""One call to a webhook: signed, without cookies or redirects, and never to where it must not go."""

import asyncio
import os
import socket
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from threading import Thread
from typing import TypeVar

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from django.conf import settings
from django.utils import timezone

from sessions_app.policy import addresses
from sessions_app.policy.webhooks import Answer, retry_after, sign
from sessions_app.services import deliveries
from sessions_app.services.deliveries import Due

T = TypeVar("T")
READ_BYTES = 4_096  # of an answer's body: nobody looks at it, and a connection that was read to its end can be used again


def client(timeout_s: float) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(
        resolver=_Resolver(private=settings.WEBHOOK_PRIVATE_ADDRESSES), limit=deliveries.MOST_AT_ONCE, ttl_dns_cache=30
    )
    # Without cookies: what one restaurant's address sets would go to another's.
    jar, timeout = aiohttp.DummyCookieJar(), aiohttp.ClientTimeout(total=timeout_s)
    return aiohttp.ClientSession(connector=connector, cookie_jar=jar, timeout=timeout)


async def post(http: aiohttp.ClientSession, due: Due, timeout_s: float) -> Answer:
    if why := addresses.refusal(due.url, private=settings.WEBHOOK_PRIVATE_ADDRESSES):
        return Answer(None, why)
    try:
        async with http.post(due.url, data=due.body, headers=_headers(due), allow_redirects=False) as response:
            with suppress(Exception):  # the status has said it all: a body that breaks off or never comes takes nothing back
                await response.content.read(READ_BYTES)
            wait = retry_after(response.headers.get("Retry-After"), timezone.now()) if response.status in (429, 503) else None
            return Answer(response.status, _words(response.status), wait)
    except TimeoutError:
        return Answer(None, f"No answer within {timeout_s:g} s.")
    except Exception as error:  # whatever it is, it is about this call alone
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


class _Resolver(AbstractResolver):
    """Looked up and judged in one: a name cannot lead elsewhere between the two. Each name in a thread of its own, which nobody
    waits for at the end: a name server that does not answer holds up its own name alone."""

    def __init__(self, *, private: bool) -> None:
        self._private = private

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> list[ResolveResult]:
        lookup = partial(socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        found = [(kind, protocol, str(address[0])) for kind, _, protocol, _, address in await _in_own_thread(lookup)]
        allowed = [one for one in found if self._private or addresses.is_public(ip_address(one[2]))]
        if found and not allowed:
            raise _Inside(None, "inside the installation's network")
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST)
            for kind, protocol, address in allowed
        ]

    async def close(self) -> None:
        pass


async def _in_own_thread(function: Callable[[], T]) -> T:
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()

    def work() -> None:
        try:
            done.set_result(function())
        except BaseException as error:
            done.set_exception(error)

    Thread(target=work, name="webhook-lookup", daemon=True).start()
    return await asyncio.wrap_future(done)
