"""Batched statements: a typed row for each line of the answer."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from django.db import connection

Row = TypeVar("Row", bound=NamedTuple)


def fetch(row: type[Row], statement: str, parameters: Mapping[str, Any]) -> list[Row]:
    """Runs the statement and makes one `row` of each line; its columns are selected in the order of the row's fields."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [row._make(line) for line in cursor.fetchall()]


def execute(statement: str, parameters: Mapping[str, Any]) -> int:
    """Runs the statement and answers how many rows it touched."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)
