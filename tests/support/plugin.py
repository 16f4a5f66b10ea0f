"""Gives the tests their PostgreSQL and Valkey before Django's settings are read.

With DATABASE_URL and REDIS_URL set those are used; else this starts its own embedded servers in a temporary directory, once
for all xdist workers. Each xdist worker has its own database (pytest-django) and its own Valkey database number.
"""

import base64
import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from restaurant_wa.local.children import Children
from restaurant_wa.local.console import Problem
from restaurant_wa.local.places import make_data, make_private
from restaurant_wa.local.postgres import Postgres
from restaurant_wa.local.valkey import Valkey
from tests.support import databases

pytest_plugins = ["tests.support.fixtures", "tests.support.options", "tests.support.order", "tests.support.reporting"]
XDIST_DATABASES = 64
# Nothing here outlives a test run: losing a machine may lose it, so the disk need not be waited for.
POSTGRES_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"}

_children = Children()
_directory: list[Path] = []


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests() -> Generator[None, None, None]:
    """A wrapper runs before pytest-django's own hook, which reads the settings."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        _own_valkey_database(os.environ["PYTEST_XDIST_WORKER"])
    else:
        try:
            _prepare()
        except Problem as problem:
            raise pytest.UsageError(str(problem)) from problem
    return (yield)


def pytest_unconfigure() -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    with contextlib.suppress(KeyError, psycopg.OperationalError):  # the run may have ended before it began
        databases.drop_all()
    _children.close()
    for directory in _directory:
        shutil.rmtree(directory, ignore_errors=True)


def _prepare() -> None:
    directory = make_data(Path(tempfile.mkdtemp(prefix="restaurant-wa-tests-")) / "data")
    directory.parent.chmod(0o711)
    _directory.append(directory.parent)
    os.environ[databases.RUN] = secrets.token_hex(4)
    os.environ |= {"RESTAURANT_WA_IGNORE_DOTENV": "1", "RESTAURANT_WA_NO_BOOTSTRAP": "1", "DATA_DIR": str(directory)}
    os.environ["STATIC_ROOT"] = str(make_private(directory / "static"))
    os.environ.setdefault("SECRET_KEY", secrets.token_urlsafe(48))
    os.environ.setdefault("WHATSAPP_SECRET", secrets.token_urlsafe(32))
    os.environ.setdefault("WA_ENCRYPTION_KEYS", "k1:" + base64.b64encode(secrets.token_bytes(32)).decode())
    if not os.environ.get("DATABASE_URL"):
        os.environ["DATABASE_URL"] = _start_postgres(directory)
    if not os.environ.get("REDIS_URL"):
        os.environ["REDIS_URL"] = _start_valkey(directory)


def _start_postgres(directory: Path) -> str:
    password = secrets.token_urlsafe(16)
    postgres = Postgres(data=directory, password=password, log=directory / "postgres.log", settings=POSTGRES_SETTINGS)
    postgres.start(_children)
    return postgres.url("restaurant_wa")


def _start_valkey(directory: Path) -> str:
    place = make_private(directory / "valkey")
    password = secrets.token_urlsafe(16)
    valkey = Valkey(directory=place, password=password, log=directory / "valkey.log", databases=XDIST_DATABASES)
    valkey.start(_children)
    return valkey.url()


def _own_valkey_database(worker: str) -> None:
    url = urlsplit(os.environ["REDIS_URL"])
    number = int(url.path.strip("/") or 0) + int(worker.removeprefix("gw"))
    os.environ["REDIS_URL"] = url._replace(path=f"/{number}").geturl()
