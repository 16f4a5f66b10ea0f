"""An installation of its own to try things on: the same programs `manage.py up` starts, which can be stopped, killed and
started again one by one. Benchmarks use it, and the tests.

Part names: simulator, web, session-1 … session-N, default, beat; and the databases, valkey and postgres.
"""

import base64
import secrets
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from restaurant_wa.local import parts
from restaurant_wa.local.children import Child, Children
from restaurant_wa.local.console import Problem
from restaurant_wa.local.house import BRIDGE_ROLE, DATABASE, application_environment, open_to_strangers, simulated_network
from restaurant_wa.local.places import make_data, make_private, node_binary
from restaurant_wa.local.ports import free_port
from restaurant_wa.local.postgres import Postgres
from restaurant_wa.local.valkey import Valkey

READY_TIMEOUT_S = 60.0
DATABASES = frozenset({"valkey", "postgres"})
STAGES = (1, 2, 3)


class Lab:
    """Its databases run when it has been made; `start` the rest, and `close` it in any case."""

    def __init__(
        self, directory: Path, *, configuration: Mapping[str, object], own_postgres: bool = True, simulator_keeps: bool = True
    ) -> None:
        self.data = make_data(directory)
        self.logs = make_private(directory / "logs")
        self.children = Children()
        self._running: dict[str, Child] = {}
        password = secrets.token_hex(8)
        self._valkey = Valkey(directory=make_private(directory / "valkey"), password=password, log=self.logs / "valkey.log")
        self._running["valkey"] = self._valkey.start(self.children)
        self._postgres = self._make_postgres(directory, password) if own_postgres else None
        self.database, bridge_database = self._make_database()
        self.site = replace(self._make_site(bridge_database, configuration), simulator_keeps=simulator_keeps)

    def start(self, *names: str, wait: bool = True) -> None:
        """Start parts by name; return when they are ready. Raises Problem with a part's last words when it ends meanwhile."""
        started = [self._part(name) for name in names if name not in DATABASES]
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
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not part.ready():
            if not child.running:
                raise Problem(f"{name} ended: {child.last_words()} (log: {part.program.log})")
            if time.monotonic() > deadline:
                raise Problem(f"{name} was not ready within {READY_TIMEOUT_S:.0f} s (log: {part.program.log})")
            time.sleep(0.05)

    def stop(self, *names: str) -> float:
        """SIGTERM, as an orderly stop; returns the seconds it took."""
        started = time.monotonic()
        self.children.stop(*(self._running.pop(name) for name in names))
        return time.monotonic() - started

    def stop_all(self) -> None:
        """Everything but the databases, in the order `up` keeps."""
        for stage in STAGES:
            self.stop(*(name for name in self._running if name not in DATABASES and self._part(name).stage == stage))

    def kill(self, name: str) -> None:
        """kill -9 of the part, then of what is left of its group, as `up` does before it starts the part again."""
        child = self._running.pop(name)
        child.signal(signal.SIGKILL)
        child.process.wait()
        self.children.forget(child)

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def close(self) -> None:
        self.children.close()

    def _make_postgres(self, directory: Path, password: str) -> Postgres:
        return Postgres(data=directory, password=password, log=self.logs / "postgres.log")

    def _make_database(self) -> tuple[str, str]:
        """The addresses of an empty database, for the application and for the bridge."""
        assert self._postgres is not None
        self._running["postgres"] = self._postgres.start(self.children)
        password = secrets.token_hex(8)
        self._postgres.ensure_database(DATABASE, owner="lab", password=password)
        return (
            self._postgres.url(DATABASE, role="lab", password=password),
            self._postgres.url(DATABASE, role=BRIDGE_ROLE, password=secrets.token_hex(8)),
        )

    def _make_site(self, bridge_database: str, configuration: Mapping[str, object]) -> parts.Site:
        port, network = free_port(), free_port()
        own = {
            "SECRET_KEY": secrets.token_urlsafe(48),
            "WHATSAPP_SECRET": secrets.token_urlsafe(32),
            "WA_ENCRYPTION_KEYS": "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
            "DATABASE_URL": self.database,
            "BRIDGE_DATABASE_URL": bridge_database,
            "REDIS_URL": self._valkey.url(),
            "WEB_URL": f"http://127.0.0.1:{port}",
            "DATA_DIR": str(self.data),
            "NODE_BINARY": node_binary(),
            "STATIC_ROOT": str(make_private(self.data / "static")),
        }
        given = {name: str(value) for name, value in configuration.items()}
        env = open_to_strangers(given) | application_environment() | own | simulated_network(network) | given
        return parts.Site(env=env, logs=self.logs, data=self.data, port=port, simulator_port=network)

    def _part(self, name: str) -> parts.Part:
        if name.startswith("session-"):
            return parts.session_worker(self.site, int(name.removeprefix("session-")))
        made = {"simulator": parts.simulator, "web": parts.web, "default": parts.default_worker, "beat": parts.beat}
        return made[name](self.site)
