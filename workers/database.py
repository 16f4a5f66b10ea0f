"""Django's database from asyncio: one thread, one connection, one call at a time."""

import asyncio
import os
import queue
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, ParamSpec, TypeVar

import psycopg
import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, InterfaceError, OperationalError, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from workers.clocks import steady

log = structlog.get_logger(__name__)
P = ParamSpec("P")
T = TypeVar("T")
_Job = tuple[Future[Any], Callable[[], Any]]
_thread = threading.local()
PLANS_FOR_S = 10.0
HANGS_AFTER_S = 60.0  # four times what a statement may take
ONLY_WHEN_ASKED = 1 << 62  # executions after which psycopg prepares a statement by itself


class Database:
    """Calls are made in their order. After a database error the connection is closed, so that the next call makes a new one.

    A thread of its own, not an executor: the interpreter waits for an executor's threads at its end, and a database that
    holds a connection and never answers would keep the process from ever ending.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._connection: BaseDatabaseWrapper | None = None  # the thread's
        self._busy_since: float | None = None  # on the steady clock
        threading.Thread(target=self._work, name=f"db-{name}", daemon=True).start()

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Raises what the function raises; django.db.Error when the database is away."""
        done: Future[T] = Future()
        self._jobs.put((done, partial(_run, function, *args, **kwargs)))
        return await asyncio.wrap_future(done)

    def cut_when_hung(self) -> None:
        """Ends a call that is never answered, when asked now and then: it raises, and the next one connects anew. A pooler or a
        load balancer may freeze with its connections alive; neither the server's limits nor TCP's end that."""
        since = self._busy_since
        if since is None or steady() - since < HANGS_AFTER_S:
            return
        self._busy_since = None  # once is enough
        log.error("database.hung", thread=self._name, seconds=round(steady() - since, 1))
        if self._connection is not None and self._connection.connection is not None:
            _shut_down(self._connection.connection)

    async def close(self) -> None:
        await self.call(connections.close_all)
        self._jobs.put(None)

    def _work(self) -> None:
        _thread.is_engines = True
        self._connection = connections[DEFAULT_DB_ALIAS]
        while job := self._jobs.get():
            done, function = job
            if not done.set_running_or_notify_cancel():
                continue
            self._busy_since = steady()
            try:
                done.set_result(function())
            except BaseException as error:
                done.set_exception(error)
            self._busy_since = None


def _shut_down(connection: "psycopg.Connection[Any]") -> None:
    """Without closing it: that is its own thread's, which waits for it and gets an error."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as cable:
        cable.shutdown(socket.SHUT_RDWR)


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
