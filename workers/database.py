"""Django's database from asyncio: one thread, one connection, one call at a time."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, ParamSpec, TypeVar

from django.db import Error, connections

P = ParamSpec("P")
T = TypeVar("T")
_Job = tuple[Future[Any], Callable[[], Any]]


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
        while job := self._jobs.get():
            done, function = job
            if not done.set_running_or_notify_cancel():
                continue
            try:
                done.set_result(function())
            except BaseException as error:
                done.set_exception(error)


def _run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return function(*args, **kwargs)
    except Error:
        connections.close_all()
        raise
