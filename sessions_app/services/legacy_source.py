"""An old installation's table of restaurants, read as it is: its columns are found out, nothing is written, nothing hangs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import class_row

from sessions_app.errors import DomainError

CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 30_000
# A connection that was cut off ends with an error within some ten seconds.
ALIVE: dict[str, Any] = {"tcp_user_timeout": 10_000, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
# What an old column may be called; the first name found is the one that counts, also where it is empty.
NUMBER = ("whatsapp_number", "whatsapp_phone", "phone")
ZONE = ("timezone", "time_zone")
ACTIVE = ("is_active",)
REQUIRED = ("id", "name")

_DRIVER = re.compile(r"^(postgres(?:ql)?)\+[a-z0-9_]+://")  # SQLAlchemy's way of writing an address


class LegacyUnreadable(DomainError):
    """The old installation's restaurants cannot be read."""

    code = "legacy_unreadable"


@dataclass(frozen=True)
class LegacyRow:
    """A restaurant as the old table has it; every value as text."""

    id: str | None
    name: str | None
    number: str | None
    zone: str | None
    active: str | None


@dataclass(frozen=True)
class LegacyTable:
    name: str
    columns: tuple[str, ...]  # those that were read
    rows: list[LegacyRow]


def read(*, url: str, table: str) -> LegacyTable:
    """The table's rows, ordered by id. Raises LegacyUnreadable, naming what is missing and what was found."""
    try:
        with psycopg.connect(_address(url), connect_timeout=CONNECT_TIMEOUT_S, **ALIVE) as old:
            old.read_only = True
            old.execute("SELECT set_config('statement_timeout', %s, true)", [str(STATEMENT_TIMEOUT_MS)])
            return _read(old, table)
    except psycopg.Error as error:
        raise LegacyUnreadable(f"The old database cannot be read: {_first_line(error)}") from error


def _read(old: Connection[Any], table: str) -> LegacyTable:
    schema, name = _find(old, table)
    found = [column for (column,) in old.execute(_COLUMNS, [schema, name])]
    missing = [column for column in REQUIRED if column not in found]
    if missing:
        raise LegacyUnreadable(f"{schema}.{name} has no column {' and '.join(missing)}; it has {_listed(found)}.")
    wanted = [*REQUIRED, *(_first(names, found) for names in (NUMBER, ZONE, ACTIVE))]
    statement = sql.SQL("SELECT {} FROM {} ORDER BY {}").format(
        sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(one)) if one else sql.SQL("NULL") for one in wanted),
        sql.Identifier(schema, name),
        sql.Identifier("id"),
    )
    rows = [LegacyRow(*row) for row in old.execute(statement)]
    return LegacyTable(f"{schema}.{name}", tuple(one for one in wanted if one), rows)


@dataclass(frozen=True)
class _Table:
    schema: str
    name: str


def _find(old: Connection[Any], table: str) -> tuple[str, str]:
    with old.cursor(row_factory=class_row(_Table)) as cursor:
        known = cursor.execute(_TABLES).fetchall()
    matching = [one for one in known if table in (one.name, f"{one.schema}.{one.name}")]
    if len(matching) == 1:
        return matching[0].schema, matching[0].name
    if matching:
        names = _listed([f"{one.schema}.{one.name}" for one in matching])
        raise LegacyUnreadable(f"There are several tables {table}: {names}. Name one with --table.")
    names = _listed([one.name if one.schema == "public" else f"{one.schema}.{one.name}" for one in known])
    raise LegacyUnreadable(f"There is no table {table} that this role may read; there is {names}. Name another with --table.")


def _address(url: str) -> str:
    """Without the name of a driver. Raises LegacyUnreadable; what was given is not repeated, it may hold a password."""
    address = _DRIVER.sub(r"\1://", url)
    try:
        conninfo_to_dict(address)
    except psycopg.ProgrammingError:
        address = ""
    if not address.startswith(("postgresql://", "postgres://")):
        raise LegacyUnreadable("This is no address of a PostgreSQL database: write postgresql://user:password@host:port/name.")
    return address


def _first(names: Sequence[str], found: Sequence[str]) -> str | None:
    return next((name for name in names if name in found), None)


def _listed(names: Sequence[str], most: int = 30) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "none"


def _first_line(error: psycopg.Error) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


_TABLES = """
    SELECT table_schema AS schema, table_name AS name FROM information_schema.tables
    WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY table_schema <> 'public', table_schema, table_name"""
_COLUMNS = """
    SELECT column_name FROM information_schema.columns
    WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position"""
