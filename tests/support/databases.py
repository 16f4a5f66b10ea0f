"""Databases of the stacks: each is cloned from one that was migrated once in this test run."""

import os
import secrets
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from restaurant_wa.local.house import application_environment
from restaurant_wa.local.places import BASE_DIR

RUN = "RESTAURANT_WA_TEST_RUN"  # a random name of this test run, the same in every xdist worker
COMMAND_TIMEOUT_S = 120
LOCK = 0x54455354


def clone() -> str:
    """The address of a new migrated database."""
    name = f"stack_{os.environ[RUN]}_{secrets.token_hex(4)}"
    with closing(_server()) as server:
        _ensure_template(server)
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(_template())))
    return address_of(name)


def drop(url: str) -> None:
    with closing(_server()) as server:
        name = sql.Identifier(urlsplit(url).path.strip("/"))
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


def drop_all() -> None:
    """What this run made on a server that lives on: the template and the bridge's role."""
    with closing(_server()) as server:
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(_template())))
        server.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(_bridge_role())))


def as_bridge(url: str) -> str:
    """The same database as the bridge's role."""
    address = urlsplit(url)
    return address._replace(netloc=f"{_bridge_role()}:bridge@{address.netloc.rpartition('@')[2]}").geturl()


def migrate(env: Mapping[str, str]) -> None:
    manage(env, "bridge_role", "--migrate")


def manage(env: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, str(BASE_DIR / "manage.py"), *arguments]
    done = subprocess.run(command, env=dict(env), capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)
    assert done.returncode == 0, f"manage.py {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _ensure_template(server: "psycopg.Connection[tuple[object, ...]]") -> None:
    """Under a lock, so that only one of several xdist workers makes it."""
    with server.transaction():
        server.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        if server.execute("SELECT FROM pg_database WHERE datname = %s", [_template()]).rowcount:
            return
        with closing(_server()) as other:
            other.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_template())))
        url = address_of(_template())
        try:
            migrate(application_environment() | {"DATABASE_URL": url, "BRIDGE_DATABASE_URL": as_bridge(url)})
        except BaseException:
            drop(url)
            raise


def _server() -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(address_of("postgres"), autocommit=True, connect_timeout=5)


def address_of(name: str) -> str:
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


def _template() -> str:
    return f"stack_{os.environ[RUN]}_template"


def _bridge_role() -> str:
    return f"bridge_{os.environ[RUN]}"
