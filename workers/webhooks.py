"""Tells webhooks what is due: many at once, so that one that is slow keeps none of the others waiting."""

import asyncio
import random
from collections import Counter
from ctypes import c_bool
from multiprocessing.sharedctypes import RawValue
from uuid import UUID

import aiohttp
import structlog
from celery.signals import worker_shutting_down
from django.utils import timezone

from sessions_app.policy.webhooks import Answer, judge
from sessions_app.services import deliveries
from sessions_app.services.deliveries import Due, Result
from workers import webhook_calls
from workers.clocks import steady
from workers.database import Database

log = structlog.get_logger(__name__)

FOR_S = 60.0  # then it takes nothing new, and the next task goes on
TIMEOUT_S = 10.0
SLOW_S = 1.0
LOOK_EVERY_S = 0.2

# In memory that a pool's processes share with the worker, which is told to stop and has to tell them.
_stopping = RawValue(c_bool, False)


@worker_shutting_down.connect(dispatch_uid="workers.webhooks")
def _stop(**_: object) -> None:
    _stopping.value = True


async def deliver(*, for_s: float = FOR_S, timeout_s: float = TIMEOUT_S) -> None:
    """Until nothing is due, the worker stops or `for_s` have passed; then until all answers have come. Raises django.db.Error;
    what was under way then is tried again when its lease has ended."""
    database = Database("webhooks")
    try:
        async with webhook_calls.client(timeout_s) as http:
            await _Round(http, database, timeout_s).run(steady() + for_s)
    finally:
        await database.close()


class _Round:
    """`_slow` are webhooks that have let a call wait: shortly before the end they get no new one, or all would wait for it."""

    def __init__(self, http: aiohttp.ClientSession, database: Database, timeout_s: float) -> None:
        self._http = http
        self._database = database
        self._timeout_s = timeout_s
        self._under_way: dict[asyncio.Task[Answer], tuple[Due, float]] = {}
        self._slow: set[UUID] = set()

    async def run(self, until: float) -> None:
        while True:
            now = steady()
            if now < until and not _stopping.value:
                await self._start(nearly_over=now > until - self._timeout_s)
            if not self._under_way:
                return
            await asyncio.wait(self._under_way, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            await self._settle()

    async def _start(self, *, nearly_over: bool) -> None:
        room = deliveries.MOST_AT_ONCE - len(self._under_way)
        if room:
            calls, slow = Counter(due.webhook for due, _ in self._under_way.values()), self._slow if nearly_over else ()
            for due in await self._database.call(deliveries.take, most=room, under_way=calls, without=slow):
                self._under_way[asyncio.create_task(webhook_calls.post(self._http, due, self._timeout_s))] = due, steady()

    async def _settle(self) -> None:
        now = steady()
        self._slow |= {due.webhook for due, since in self._under_way.values() if now - since > SLOW_S}
        done = [post for post in self._under_way if post.done()]
        if not done:
            return
        results = [_result(self._under_way.pop(post)[0], post.result()) for post in done]
        under_way = [due.delivery for due, _ in self._under_way.values()]
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
