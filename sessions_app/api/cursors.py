"""Cursors of keyset pages: where the last page ended, so that a page costs the same however deep it lies.

Callers pass them back unchanged; the letter keeps a cursor of one list from being used with another.
"""

from typing import Annotated
from uuid import UUID

from pydantic import Field

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
