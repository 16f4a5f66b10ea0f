"""Cursors of keyset pages: where the last page ended, so that a page costs the same however deep it lies.

Callers pass them back unchanged; the letter keeps a cursor of one list from being used with another.
"""

from collections.abc import Callable
from typing import Annotated, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from pydantic import Field

Row = TypeVar("Row", bound=Model)
SeqCursor = Annotated[str, Field(pattern=r"^s[0-9]{1,18}$", description="next_cursor of the page before.")]
IdCursor = Annotated[str, Field(pattern=r"^i[0-9a-f]{32}$", description="next_cursor of the page before.")]
Limit = Annotated[int, Field(ge=1, le=100)]


def of_seq(seq: int) -> str:
    return f"s{seq}"


def seq(cursor: str) -> int:
    return int(cursor[1:])


def of_id(pk: UUID) -> str:
    return f"i{pk.hex}"


def id(cursor: str) -> UUID:
    return UUID(hex=cursor[1:])


def page(found: QuerySet[Row], limit: int, cursor_of: Callable[[Row], str]) -> tuple[list[Row], str | None]:
    """The first `limit` rows of what is left, and the cursor of the next page; None when this is the last one."""
    rows = list(found[: limit + 1])
    shown = rows[:limit]
    return shown, cursor_of(shown[-1]) if len(rows) > limit else None
