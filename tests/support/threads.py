"""Running the same thing from several threads at one moment, each with a database connection of its own."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

T = TypeVar("T")
TIMEOUT_S = 30


def somebody_waits() -> bool:
    """Whether a statement waits for another one's lock, also when asked inside a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_locks WHERE NOT granted")
        return cursor.fetchone() is not None


def at_once(*calls: Callable[[], T]) -> list[T | Exception]:
    """What each call returned or raised, in the order given. Needs a test with `transactional_db`."""
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T | Exception:
        try:
            start.wait(TIMEOUT_S)
            return call()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(TIMEOUT_S) for future in [pool.submit(run, call) for call in calls]]
