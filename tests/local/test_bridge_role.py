"""The bridge's database role uses its three tables and sees nothing else."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

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
