"""The bridge's database role uses its three tables and sees nothing else."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models.signals import pre_migrate

from tests.support import databases


@pytest.fixture
def bridge() -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    url = databases.clone()
    with closing(psycopg.connect(databases.as_bridge(url), autocommit=True, connect_timeout=5)) as connection:
        yield connection
    databases.drop(url)


@pytest.mark.parametrize("table", ["bridge_creds", "bridge_key", "bridge_sent"])
def test_it_uses_its_tables(bridge: "psycopg.Connection[tuple[object, ...]]", table: str) -> None:
    assert bridge.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (0,)
    bridge.execute(f"DELETE FROM {table}".encode())


@pytest.mark.parametrize("table", ["message", "wa_session", "api_key", "auth_user", "django_session"])
def test_it_sees_no_other(bridge: "psycopg.Connection[tuple[object, ...]]", table: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        bridge.execute(f"SELECT FROM {table}".encode())


def test_it_makes_nothing(bridge: "psycopg.Connection[tuple[object, ...]]") -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        bridge.execute("CREATE TABLE public.mine ()")


def test_migrations_take_the_time_they_need_and_requests_do_not(db: None) -> None:
    """An index of a large table takes longer than any request may."""
    seen: list[str] = []
    pre_migrate.connect(lambda **_: seen.append(_limit()), weak=False, dispatch_uid="test")
    try:
        call_command("migrate", "sessions_app", verbosity=0)
    finally:
        pre_migrate.disconnect(dispatch_uid="test")
    assert set(seen) == {"0"} and _limit() == "15s"


def _limit() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        return str(cursor.fetchone()[0])
