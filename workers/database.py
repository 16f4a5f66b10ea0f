"""Django's database from asyncio: one thread, one connection, one call at a time."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django.db import Error, InterfaceError, OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from workers.clocks import steady

P = ParamSpec("P")
T = TypeVar("T")
_Job = tuple[Future[Any], Callable[[], Any]]
_thread = threading.local()
PLANS_FOR_S = 10.0
ONLY_WHEN_ASKED = 1 << 62  # executions after which psycopg prepares a statement by itself


class Database:
    """Calls are made in their order. After a database error the connection is closed, so that the next call makes a new one.

    A thread of its own, not an executor: the interpreter waits for an executor's threads at its end, and a database that
    holds a connection and never answers would keep the process from ever ending.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=f"db-{name}", daemon=True).start()

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises what the function raises; django.db.Error when the database is away."""
        done: Future[T] = Future()
        self._jobs.put((done, partial(_run, function, *args, **kwargs)))
        return await asyncio.wrap_future(done)

    async def close(self) -> None:
        await self.call(connections.close_all)
        self._jobs.put(None)

    def _work(self) -> None:
        _thread.is_engines = True
        while job := self._jobs.get():
            done, function = job
            if not done.set_running_or_notify_cancel():
                continue
            try:
                done.set_result(function())
            except BaseException as error:
                done.set_exception(error)


def is_passing(error: BaseException) -> bool:
    """The database is away, or takes no writes for the moment (SQLSTATE class 25): the same may succeed a little later."""
    state = str(getattr(error.__cause__, "sqlstate", None) or "")
    return isinstance(error, (OperationalError, InterfaceError)) or state.startswith("25")


def _run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        _plan_anew()
        return function(*args, **kwargs)
    except Error:
        connections.close_all()
        raise


def _plan_anew() -> None:
    """A plan that was made for a table when it was small may read all of it later: none is older than this."""
    if connection.connection is None or steady() - _thread.planned_at < PLANS_FOR_S:
        return
    with connection.cursor() as cursor:
        cursor.execute("DISCARD PLANS")
    _thread.planned_at = steady()


def _prepare(connection: BaseDatabaseWrapper, **_: object) -> None:
    """A worker that freezes in the middle of a transaction would keep its sessions locked, and nobody could claim them: hence
    the time limit. What is prepared is planned once, for any number of sessions."""
    if not getattr(_thread, "is_engines", False):
        return
    with connection.cursor() as cursor:
        limit = f"{settings.WORKER_TTL_S * 1000:.0f}"
        cursor.execute(
            "SELECT set_config('idle_in_transaction_session_timeout', %s, false),"
            " set_config('plan_cache_mode', 'force_generic_plan', false), set_config('jit', 'off', false)",
            [limit],
        )
    connection.connection.prepare_threshold = ONLY_WHEN_ASKED
    _thread.planned_at = steady()


connection_created.connect(_prepare, dispatch_uid="workers.database")
