"""Real parts for end-to-end tests: the same programs `manage.py up` starts, on a database and a Valkey of their own.

    def test_it(make_stack):
        stack = make_stack(workers=1, PACE_MIN_DELAY_MS=50, PACE_MAX_DELAY_MS=100)
        stack.kill("session-1")

Part names: simulator, web, session-1 … session-N, default, beat; and valkey, postgres (the latter with own_postgres=True).
Configuration goes by environment only, so that the product needs no code path of its own for tests.
"""

import base64
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row

from restaurant_wa.local import parts
from restaurant_wa.local.children import Child, Children, tail
from restaurant_wa.local.house import application_environment, simulated_network
from restaurant_wa.local.places import make_data, make_private, node_binary
from restaurant_wa.local.ports import free_port
from restaurant_wa.local.postgres import Postgres
from restaurant_wa.local.valkey import Valkey
from tests.support import databases
from tests.support.http import Json

READY_TIMEOUT_S = 60.0
T = TypeVar("T")


class Stack:
    """Started by the `make_stack` fixture; everything it started is gone when the test is over."""

    def __init__(self, directory: Path, *, own_postgres: bool = False, **configuration: object) -> None:
        self.data = make_data(directory)
        self.logs = make_private(directory / "logs")
        self.children = Children()
        self._running: dict[str, Child] = {}
        self._valkey = Valkey(
            directory=make_private(directory / "valkey"), password=secrets.token_hex(8), log=self.logs / "valkey.log"
        )
        self._running["valkey"] = self._valkey.start(self.children)
        self._postgres = Postgres(data=directory, password="test", log=self.logs / "postgres.log") if own_postgres else None
        self.database = self._make_database()
        self.site = self._make_site(configuration)
        self.api = Json(self.site.env["WEB_URL"])
        self.network = Json(self.site.env["SIMULATOR_URL"])

    # --- Parts ---------------------------------------------------------------------------------------------------

    def start(self, *names: str, wait: bool = True) -> None:
        """Start parts by name; return when they are ready. A part that ends meanwhile fails the test with its last words."""
        started = [self._part(name) for name in names if name not in {"valkey", "postgres"}]
        if "postgres" in names and self._postgres:
            self._running["postgres"] = self._postgres.start(self.children)
        if "valkey" in names:
            self._running["valkey"] = self._valkey.start(self.children)
        for part in started:
            self._running[part.name] = self.children.spawn(part.program)
        if wait:
            for part in started:
                self.wait_ready(part.name)

    def start_all(self, *, workers: int = 1) -> None:
        self.start(*(part.name for part in parts.all_parts(self.site, workers=workers)))

    def wait_ready(self, name: str) -> None:
        part, child = self._part(name), self._running[name]

        def ready() -> bool:
            assert child.running, f"{name} ended: {child.last_words()}"
            return part.ready()

        eventually(ready, timeout=READY_TIMEOUT_S, what=f"{name} to be ready")

    def stop(self, *names: str) -> float:
        """SIGTERM, as an orderly stop; returns the seconds it took."""
        started = time.monotonic()
        self.children.stop(*(self._running.pop(name) for name in names))
        return time.monotonic() - started

    def stop_all(self) -> None:
        """Everything but the databases, in the order `up` keeps."""
        for stage in (1, 2, 3):
            names = [name for name in self._running if name not in {"valkey", "postgres"} and self._part(name).stage == stage]
            self.stop(*names)

    def kill(self, name: str, *, alone: bool = False) -> None:
        """kill -9 of the part, then of what is left of its group, as `up` does before it starts the part again.

        `alone` leaves the rest of the group to see to itself.
        """
        child = self._running.pop(name)
        child.signal(signal.SIGKILL)
        child.process.wait()
        if not alone:
            self.children.forget(child)

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text(errors="replace")

    # --- Database ------------------------------------------------------------------------------------------------

    def sql(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Rows of a query; none of a statement without rows."""
        with psycopg.connect(self.database, connect_timeout=5, row_factory=dict_row) as connection:
            cursor = connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def manage(self, *arguments: str) -> str:
        """Run one of manage.py's commands; its output. A failure fails the test."""
        return databases.manage(self.site.env, *arguments)

    def close(self) -> None:
        self.children.close()
        if self._postgres is None:
            databases.drop(self.database)
        shutil.rmtree(self.data, ignore_errors=True)

    def last_logs(self, size: int = 3_000) -> Iterable[tuple[str, str]]:
        for log in sorted(self.logs.glob("*.log")):
            if text := tail(log, size):
                yield log.stem, text

    def _make_database(self) -> str:
        if self._postgres is None:
            return databases.clone()
        self._running["postgres"] = self._postgres.start(self.children)
        self._postgres.ensure_database("stack", owner="stack", password="stack")
        return self._postgres.url("stack", role="stack", password="stack")

    def _make_site(self, configuration: dict[str, object]) -> parts.Site:
        port, network = free_port(), free_port()
        own = {
            "SECRET_KEY": secrets.token_urlsafe(48),
            "WHATSAPP_SECRET": secrets.token_urlsafe(32),
            "WA_ENCRYPTION_KEYS": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
            "DATABASE_URL": self.database,
            "BRIDGE_DATABASE_URL": databases.as_bridge(self.database),
            "REDIS_URL": self._valkey.url(),
            "WEB_URL": f"http://127.0.0.1:{port}",
            "DATA_DIR": str(self.data),
            "NODE_BINARY": node_binary(),
            "STATIC_ROOT": str(make_private(self.data / "static")),
        }
        given = {name: str(value) for name, value in configuration.items()}
        env = application_environment() | own | simulated_network(network) | given
        if self._postgres:
            databases.migrate(env)
        return parts.Site(env=env, logs=self.logs, data=self.data, port=port, simulator_port=network)

    def _part(self, name: str) -> parts.Part:
        if name.startswith("session-"):
            return parts.session_worker(self.site, int(name.removeprefix("session-")))
        made = {"simulator": parts.simulator, "web": parts.web, "default": parts.default_worker, "beat": parts.beat}
        return made[name](self.site)


def eventually(check: Callable[[], T], *, timeout: float = 20.0, what: str = "", every: float = 0.05) -> T:
    """The first true value of `check`, for what sends no event to wait for. Fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := check()):
        assert time.monotonic() < deadline, f"waited {timeout:g} s in vain for {what or check.__name__}; last: {value!r}"
        time.sleep(every)
    return value
