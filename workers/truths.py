"""Writes what is true of the sessions into their rows, in batches."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import structlog

from sessions_app.services import session_state
from sessions_app.services.session_state import Truth
from workers.database import Database, is_passing
from workers.table import Owned, Table

log = structlog.get_logger(__name__)
MOST_AT_ONCE = 500


class Truths:
    """`on_written` is told of each session whose row now says what it should, `on_told` of each whose row knows more of its
    number, `on_lost` of each that has another owner."""

    def __init__(self, *, table: Table, database: Database, worker: Callable[[], UUID | None]) -> None:
        self.changed = asyncio.Event()
        self.on_written: Callable[[Owned], None] = lambda _: None
        self.on_told: Callable[[Owned], None] = lambda _: None
        self.on_lost: Callable[[Owned], None] = lambda _: None
        self._table = table
        self._database = database
        self._worker = worker
        self._dirty: dict[UUID, Owned] = {}
        self._flushing = asyncio.Lock()  # what one has taken to write, another must not write as well

    def mark(self, owned: Owned) -> None:
        self._dirty[owned.id] = owned
        self.changed.set()

    async def flush(self) -> None:
        """Everything marked so far. Raises django.db.Error, and forgets nothing then."""
        async with self._flushing:
            while batch := self._take():
                await self._write_all(batch)

    async def _write_all(self, batch: list[Owned]) -> None:
        try:
            await self._write(batch)
        except (Exception, asyncio.CancelledError) as error:
            if _is_for_later(error):
                self._keep(batch)
                raise
            log.exception("truths.unwritable", sessions=len(batch))
            await self._write_each(batch)

    async def _write_each(self, batch: list[Owned]) -> None:
        """One of them cannot be written: the others must not wait for it."""
        for done, owned in enumerate(batch):
            try:
                await self._write([owned])
            except (Exception, asyncio.CancelledError) as error:
                if _is_for_later(error):
                    self._keep(batch[done:])
                    raise
                log.exception("truth.unwritable", session=str(owned.id))

    def _keep(self, batch: list[Owned]) -> None:
        self._dirty = {**{owned.id: owned for owned in batch}, **self._dirty}
        self.changed.set()  # a release may have taken them from the loop that writes them

    def _take(self) -> list[Owned]:
        batch = list(self._dirty.values())[:MOST_AT_ONCE]
        for owned in batch:
            del self._dirty[owned.id]
        return [owned for owned in batch if self._table.holds(owned)] or (self._take() if self._dirty else [])

    async def _write(self, batch: list[Owned]) -> None:
        worker = self._worker()
        if worker is None:
            return
        copies = [replace(owned.truth, events=list(owned.truth.events), facts=list(owned.truth.facts)) for owned in batch]
        outcome = await self._database.call(session_state.write_truths, worker=worker, truths=copies)
        if outcome.unready:  # what others call comes in between
            self._keep([owned for owned in batch if owned.id in outcome.unready])
        for owned, copy in zip(batch, copies, strict=True):
            if owned.id not in outcome.unready:
                self._tell(owned, copy, written=owned.id in outcome.written)

    def _tell(self, owned: Owned, copy: Truth, *, written: bool) -> None:
        del owned.truth.events[: len(copy.events)]
        del owned.truth.facts[: len(copy.facts)]
        if not written:
            self.on_lost(owned)
            return
        self.on_written(owned)
        if copy.facts or (copy.linked and owned.row.linked_at is None):
            self.on_told(owned)


def _is_for_later(error: BaseException) -> bool:
    """Or was given up: nobody knows what of it was written, and a session may be left whose queue is being ranked."""
    return is_passing(error) or isinstance(error, asyncio.CancelledError)
