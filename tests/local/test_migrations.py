"""Migrations of a large installation go beside its traffic, and one that was cut short can be run again."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from threading import Thread
from typing import Any

import psycopg
import pytest

from restaurant_wa.local.house import application_environment
from tests.support import databases
from tests.support.stack import eventually

Connection = psycopg.Connection[tuple[Any, ...]]
LOCK_TIMEOUT_MS = 200
INDEX = "CREATE INDEX CONCURRENTLY message_lane ON message (session_id, lane, priority, seq) WHERE status = 'queued'"
BROKEN = "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE NOT i.indisvalid"


@pytest.fixture
def env() -> Iterator[Mapping[str, str]]:
    """Of a database of its own, whose locks are not waited for for long."""
    url = databases.clone()
    yield application_environment() | {"DATABASE_URL": url, "DB_LOCK_TIMEOUT_MS": str(LOCK_TIMEOUT_MS)}
    databases.drop(url)


@pytest.fixture
def server(env: Mapping[str, str]) -> Iterator[Connection]:
    with closing(connected(env)) as connection:
        yield connection


def connected(env: Mapping[str, str]) -> Connection:
    return psycopg.connect(env["DATABASE_URL"], autocommit=True, connect_timeout=5)


def one(server: Connection, query: str, *values: Any) -> Any:
    row = server.execute(query.encode(), values or None).fetchone()
    return row and row[0]


def test_an_index_that_was_left_behind_is_built_again_however_long_others_take(
    env: Mapping[str, str], server: Connection
) -> None:
    databases.manage(env, "migrate", "sessions_app", "0007")
    with closing(connected(env)) as traffic, traffic.transaction(force_rollback=True):
        traffic.execute("LOCK TABLE message IN ROW EXCLUSIVE MODE")
        server.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            server.execute(INDEX)
        assert one(server, BROKEN) == "message_lane"
        thread = Thread(target=databases.manage, args=(env, "migrate", "sessions_app", "0020"))
        thread.start()
        eventually(lambda: waits_for_ms(server) > 3 * LOCK_TIMEOUT_MS, what="that the migration waits for the traffic")
    thread.join(databases.COMMAND_TIMEOUT_S)
    assert one(server, BROKEN) is None
    assert one(server, "SELECT count(*) FROM pg_class WHERE relname = 'message_lane'") == 1
    databases.manage(env, "migrate")
    assert "[ ]" not in databases.manage(env, "showmigrations", "sessions_app")


def waits_for_ms(server: Connection) -> float:
    query = """
        SELECT max(extract(epoch FROM clock_timestamp() - a.query_start)) * 1000
        FROM pg_stat_activity a JOIN pg_locks l USING (pid)
        WHERE NOT l.granted AND a.datname = current_database() AND a.query LIKE '%INDEX%'"""
    return float(one(server, query) or 0)


def test_every_other_lock_is_given_up_soon(env: Mapping[str, str], server: Connection) -> None:
    """Else all traffic would stand behind it."""
    databases.manage(env, "migrate", "sessions_app", "0012")
    with closing(connected(env)) as traffic, traffic.transaction(force_rollback=True):
        traffic.execute("LOCK TABLE contact IN ROW EXCLUSIVE MODE")
        with pytest.raises(AssertionError, match="lock timeout"):
            databases.manage(env, "migrate")
    databases.manage(env, "migrate")


TABLES = ("bridge_key", "message", "message_event", "webhook_delivery")


def vacuumed(server: Connection) -> dict[str, list[str]]:
    query = "SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL AND relkind = 'r' AND relname = ANY(%s)"
    return dict(server.execute(query, [list(TABLES)]).fetchall())


def test_large_tables_are_vacuumed_by_the_percent_beside_traffic(env: Mapping[str, str], server: Connection) -> None:
    databases.manage(env, "migrate", "sessions_app", "0019")  # what builds an index waits for whoever is under way
    with closing(connected(env)) as traffic, traffic.transaction(force_rollback=True):
        traffic.execute(f"LOCK TABLE {', '.join(TABLES)} IN ROW EXCLUSIVE MODE".encode())
        databases.manage(env, "migrate", "sessions_app", "0016")
        assert vacuumed(server) == {}
        databases.manage(env, "migrate", "sessions_app", "0019")
    found = vacuumed(server)
    assert sorted(found) == list(TABLES)
    assert all("autovacuum_vacuum_scale_factor=0.01" in options for options in found.values())
