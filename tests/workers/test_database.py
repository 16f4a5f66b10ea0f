"""The database thread: calls in their order, errors to their caller, and never in the way of the process's end."""

import asyncio
import json
import subprocess
import sys
import threading
from typing import Any, NamedTuple

import pytest
from django.db import Error, connection, transaction

from sessions_app.models import Session
from sessions_app.services.sql import fetch
from workers import database as module
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


def test_a_worker_that_stands_still_in_a_transaction_gives_its_locks_up_with_its_lease(
    session: Session, transactional_db: None, settings: Any
) -> None:
    settings.WORKER_TTL_S = 1.0
    locked, thaw = threading.Event(), threading.Event()

    def stand_still() -> None:
        with transaction.atomic():
            Session.objects.select_for_update().get(pk=session.pk)
            locked.set()
            thaw.wait(30)
            Session.objects.update(term=7)

    async def ask() -> None:
        database = Database("test")
        frozen = asyncio.create_task(database.call(stand_still))
        assert await asyncio.to_thread(locked.wait, 10)
        await asyncio.to_thread(_change, session)
        thaw.set()
        with pytest.raises(Error):
            await frozen
        assert await database.call(lambda: Session.objects.get().term) == 5, "the next call has a connection of its own"
        await database.close()

    asyncio.run(ask())


class Probe(NamedTuple):
    id: int


class Prepared(NamedTuple):
    name: str
    generic: int
    custom: int


def test_what_runs_often_is_planned_once_for_any_values(transactional_db: None) -> None:
    def run() -> list[Prepared]:
        for number in range(8):
            assert fetch(Probe, "SELECT %(number)s::int", {"number": number}, often=True) == [Probe(number)]
        return fetch(Prepared, "SELECT name, generic_plans, custom_plans FROM pg_prepared_statements", {})

    async def ask() -> list[Prepared]:
        database = Database("test")
        prepared = await database.call(run)
        await database.close()
        return prepared

    assert [(one.generic, one.custom) for one in asyncio.run(ask())] == [(8, 0)]
    assert run() == [], "elsewhere nothing is prepared"


def test_no_plan_is_compiled(transactional_db: None) -> None:
    """However dear one plan for any number of sessions may look."""

    def said() -> str:
        with connection.cursor() as cursor:
            cursor.execute("SHOW jit")
            return str(cursor.fetchone()[0])

    async def ask() -> str:
        database = Database("test")
        answer = await database.call(said)
        await database.close()
        return answer

    assert asyncio.run(ask()) == "off"


def test_no_plan_is_kept_for_long(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan's estimate of the table's rows tells how large the table was when it was made."""
    monkeypatch.setattr(module, "PLANS_FOR_S", 3_600.0)

    async def ask() -> tuple[float, float, float]:
        database = Database("test")
        await database.call(_sql, "CREATE TABLE probe (id int) WITH (autovacuum_enabled = false)")
        await database.call(fetch, Probe, "SELECT id FROM probe", {}, often=True)
        empty = await database.call(_estimate)
        await database.call(_sql, "INSERT INTO probe SELECT generate_series(1, 50000)")
        kept = await database.call(_estimate)
        monkeypatch.setattr(module, "PLANS_FOR_S", 0.0)
        anew = await database.call(_estimate)
        await database.call(_sql, "DROP TABLE probe")
        await database.close()
        return empty, kept, anew

    empty, kept, anew = asyncio.run(ask())
    assert kept == empty
    assert anew > 10 * empty


def _sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _estimate() -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_prepared_statements WHERE statement LIKE '%probe'")
        cursor.execute(f"EXPLAIN (FORMAT JSON) EXECUTE {cursor.fetchone()[0]}")
        plan = cursor.fetchone()[0]
    (explained,) = json.loads(plan) if isinstance(plan, str) else plan
    return float(explained["Plan"]["Plan Rows"])


def _change(session: Session) -> None:
    """Waits for the lock for DB_LOCK_TIMEOUT_MS, 5 s, at most."""
    try:
        Session.objects.filter(pk=session.pk).update(term=5)
    finally:
        connection.close()
