"""The database thread: calls in their order, errors to their caller, and never in the way of the process's end."""

import asyncio
import subprocess
import sys
import threading

import pytest

from workers.database import Database

ENDS_ALTHOUGH_A_CALL_HANGS = """
import asyncio, threading, django
django.setup()
from workers.database import Database

async def main():
    database, begun = Database("stuck"), threading.Event()
    asyncio.create_task(database.call(lambda: begun.set() or threading.Event().wait()))
    await asyncio.to_thread(begun.wait, 10)

asyncio.run(main())
print("ended")
"""


def test_calls_are_made_in_their_order_on_one_thread() -> None:
    made: list[tuple[int, str]] = []

    async def ask() -> None:
        database = Database("test")
        await asyncio.gather(*(database.call(lambda n=n: made.append((n, threading.current_thread().name))) for n in range(20)))  # type: ignore[misc]
        await database.close()

    asyncio.run(ask())
    assert made == [(n, "db-test") for n in range(20)]


def test_an_error_reaches_its_caller_and_the_next_call_is_made() -> None:
    async def ask() -> str:
        database = Database("test")
        with pytest.raises(ZeroDivisionError):
            await database.call(lambda: 1 // 0)
        answer = await database.call(lambda: "well")
        await database.close()
        return answer

    assert asyncio.run(ask()) == "well"


def test_a_database_that_never_answers_does_not_keep_the_process_alive() -> None:
    done = subprocess.run([sys.executable, "-c", ENDS_ALTHOUGH_A_CALL_HANGS], capture_output=True, text=True, timeout=30)
    assert done.stdout == "ended\n", done.stderr
