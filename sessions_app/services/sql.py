"""Batched statements: many rows in as one text, a typed row out for each line of the answer.

A time that an index is to be searched by is compared with `statement_timestamp()`: PostgreSQL takes no volatile function, such as
`clock_timestamp()`, for the bound of a search, and reads the index from its one end.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import orjson
import psycopg
from django.db import connection
from django.db.backends.utils import CursorWrapper

Row = TypeVar("Row", bound=NamedTuple)


def fetch(row: type[Row], statement: str, parameters: Mapping[str, Any], *, often: bool = False) -> list[Row]:
    """Runs the statement and makes one `row` of each line; its columns are selected in the order of the row's fields.

    `often`: it is prepared, on a connection that keeps plans (`workers.database`).
    """
    with _executed(statement, parameters, often) as cursor:
        return [row._make(line) for line in cursor.fetchall()]


def execute(statement: str, parameters: Mapping[str, Any], *, often: bool = False) -> int:
    """Runs the statement and answers how many rows it touched."""
    with _executed(statement, parameters, often) as cursor:
        return int(cursor.rowcount)


def records(rows: Sequence[Any]) -> str:
    """Dataclasses for `json_to_recordset`, by the names of their fields. An array for each column takes its caller twenty times
    as much CPU, and an owner writes hundreds of rows a second."""
    return orjson.dumps(rows).decode()


class _Preparing(psycopg.Cursor[Any]):
    """Parameters go apart from the statement, and it is prepared wherever the connection prepares at all."""

    def execute(self, query: Any, params: Any = None, **_: Any) -> Any:
        return super().execute(query, params, prepare=True)


@contextmanager
def _executed(statement: str, parameters: Mapping[str, Any], often: bool) -> Iterator[CursorWrapper]:
    connection.ensure_connection()
    with CursorWrapper(_Preparing(connection.connection), connection) if often else connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        yield cursor
