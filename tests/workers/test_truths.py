"""Truths of sessions, kept until their rows say them."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from sessions_app.services.session_state import Outcome, Truth
from workers.table import Table
from workers.truths import Truths


class Scripted:
    """A database that answers in turn; each answer is made of the sessions whose truths it was given."""

    def __init__(self, *answers: Callable[[set[UUID]], Outcome]) -> None:
        self.given: list[set[UUID]] = []
        self._answers = list(answers)

    async def call(self, _: object, *, worker: UUID, truths: list[Truth]) -> Outcome:
        self.given.append({truth.session for truth in truths})
        await asyncio.sleep(0)
        return self._answers.pop(0)(self.given[-1])


def owned(name: str) -> Any:
    session = uuid4()
    truth = Truth(session=session, term=1, state="connected", linked=True, events=[{"to": name}])
    return SimpleNamespace(id=session, truth=truth, row=SimpleNamespace(linked_at=None))


def truths(database: Any, *sessions: Any) -> tuple[Truths, dict[str, list[UUID]]]:
    table, told = Table(), dict[str, list[UUID]](written=[], lost=[])
    made = Truths(table=table, database=database, worker=uuid4)
    made.on_written = lambda one: told["written"].append(one.id)
    made.on_lost = lambda one: told["lost"].append(one.id)
    for one in sessions:
        table.add(one)
        made.mark(one)
    return made, told


def test_what_is_not_ready_is_written_again_and_the_others_go_ahead() -> None:
    slow, quick, later = owned("slow"), owned("quick"), owned("later")

    def mark_another(given: set[UUID]) -> Outcome:
        table = made._table
        table.add(later)
        made.mark(later)
        return Outcome(given - {slow.id}, {slow.id})

    database = Scripted(mark_another, lambda given: Outcome(given - {slow.id}, {slow.id}), lambda given: Outcome(given, set()))
    made, told = truths(database, slow, quick)
    asyncio.run(made.flush())
    assert database.given == [{slow.id, quick.id}, {slow.id, later.id}, {slow.id}]
    assert told == {"written": [quick.id, later.id, slow.id], "lost": []}
    assert slow.truth.events == []


def test_a_flush_that_is_given_up_forgets_nothing() -> None:
    """A worker that stops hands over within a time, and writes the rest at the end."""
    slow = owned("slow")
    database = Scripted(*[lambda given: Outcome(set(), given)] * 2, lambda given: Outcome(given, set()))
    made, told = truths(database, slow)

    async def give_up() -> None:
        flush = asyncio.create_task(made.flush())
        while len(database.given) < 2:  # noqa: ASYNC110 - between two of its steps
            await asyncio.sleep(0)
        flush.cancel()
        with pytest.raises(asyncio.CancelledError):
            await flush
        assert told["written"] == [] and slow.truth.events
        await made.flush()

    asyncio.run(give_up())
    assert told == {"written": [slow.id], "lost": []}
