"""The whole house on one machine: databases, then the schema, then the parts; and everything down again in reverse."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from restaurant_wa.local import parts, ports
from restaurant_wa.local.children import Children, Program
from restaurant_wa.local.console import Problem, step
from restaurant_wa.local.places import BASE_DIR, make_private, node_binary
from restaurant_wa.local.postgres import Postgres
from restaurant_wa.local.stop import Stop
from restaurant_wa.local.supervisor import Supervisor
from restaurant_wa.local.valkey import Valkey
from restaurant_wa.local.vault import Vault

DATABASE = OWNER = "restaurant_wa"
BRIDGE_ROLE = "restaurant_wa_bridge"
MIN_FREE_BYTES = 300 * 1024 * 1024
COMMAND_TIMEOUT_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Options:
    data: Path
    port: int = 8000
    workers: int = 1
    live: bool = False


class House:
    """Raises Problem for what a person must mend and Stopped when stopping was asked for; `close` afterwards in any case."""

    def __init__(self, options: Options, *, stop: Stop, say: Callable[[str], None] = print) -> None:
        self.options = options
        self.vault = Vault(options.data)
        self.logs = make_private(options.data / "logs")
        self.stop = stop
        self._children = Children()
        self.supervisor = Supervisor(children=self._children, stop=stop, say=say)
        self.site: parts.Site | None = None

    def open(self, *, furnish: Sequence[str] = (), env: Mapping[str, str] | None = None) -> parts.Site:
        """Databases, schema and parts, in this order; returns when every part is ready and the command `furnish` is done."""
        _require_space(self.options.data)
        ports.require_free(self.options.port)
        node = node_binary()
        with step("Starting PostgreSQL and Valkey"):
            databases = self._databases()
        site = self.site = self._site(databases, node)
        first, *others = parts.all_parts(site, workers=self.options.workers)
        with step("Preparing the database"):
            self.supervisor.start([first])  # the network or web, neither of which asks the database for anything yet
            own_role = site.env["BRIDGE_DATABASE_URL"] != site.env["DATABASE_URL"]
            self.command(*(("bridge_role", "--migrate") if own_role else ("migrate", "--no-input", "-v", "0")))
        with step("Starting the parts"):
            self.supervisor.wait_ready()
            self.supervisor.start(others)
            if furnish:
                self.command(*furnish, env=env)
            self.supervisor.wait_ready()
        return site

    def close(self) -> None:
        """Parts, then Valkey, then PostgreSQL; no process is left."""
        self.supervisor.stop_parts()
        self._children.close()

    def command(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        """Run one of manage.py's commands with the house's environment, watching the parts meanwhile. Raises Problem."""
        if self.site is None:
            raise RuntimeError("the house is not open yet")
        log = self.logs / f"{arguments[0]}.log"
        argv = [sys.executable, str(BASE_DIR / "manage.py"), *arguments]
        child = self._children.spawn(
            Program(name=arguments[0], argv=argv, log=log, env={**self.site.env, **(env or {})}, cwd=BASE_DIR, grace_s=5)
        )
        deadline = time.monotonic() + COMMAND_TIMEOUT_S
        try:
            while child.running and time.monotonic() < deadline:
                self.supervisor.check_started()
                self.stop.sleep(0.2)
            if child.running:
                raise Problem(f"`manage.py {arguments[0]}` did not finish within {COMMAND_TIMEOUT_S:.0f} s (log: {log}).")
        finally:
            self._children.stop(child)
        if child.process.returncode != 0:
            raise Problem(f"`manage.py {arguments[0]}` failed: {child.last_words()} (log: {log})")

    def _databases(self) -> dict[str, str]:
        found = {}
        if not (database_url := os.environ.get("DATABASE_URL")):
            database_url, found["BRIDGE_DATABASE_URL"] = self._postgres()
        found["DATABASE_URL"] = database_url
        found.setdefault("BRIDGE_DATABASE_URL", os.environ.get("BRIDGE_DATABASE_URL") or self._bridge_url(database_url))
        found["REDIS_URL"] = os.environ.get("REDIS_URL") or self._valkey()
        return found

    def _postgres(self) -> tuple[str, str]:
        postgres = Postgres(data=self.options.data, password=self.vault.get("POSTGRES_PASSWORD"), log=self.logs / "postgres.log")
        self.supervisor.watch(postgres.start(self._children, wait=self.stop.sleep))
        owner = self.vault.get("DATABASE_PASSWORD")
        postgres.ensure_database(DATABASE, owner=OWNER, password=owner)
        url = postgres.url(DATABASE, role=OWNER, password=owner)
        return url, self._bridge_url(url)

    def _bridge_url(self, url: str) -> str:
        """The same database as the bridge's own role, whose password this installation keeps."""
        address = urlsplit(url)
        password = quote(self.vault.get("BRIDGE_DATABASE_PASSWORD"), safe="")
        return address._replace(netloc=f"{BRIDGE_ROLE}:{password}@{address.netloc.rpartition('@')[2]}").geturl()

    def _valkey(self) -> str:
        directory = make_private(self.options.data / "valkey")
        valkey = Valkey(directory=directory, password=self.vault.get("VALKEY_PASSWORD"), log=self.logs / "valkey.log")
        child = valkey.start(self._children, wait=self.stop.sleep)
        self.supervisor.adopt(parts.Part(program=child.program, stage=parts.LAST_STAGE), child)  # it holds nothing but hints
        return valkey.url()

    def _site(self, databases: Mapping[str, str], node: str) -> parts.Site:
        port = 0 if self.options.live else ports.free_port(parts.SIMULATOR_PORT)
        network = {} if self.options.live else simulated_network(port)
        lenient = {} if self.options.live else {**open_to_strangers(os.environ), "WEBHOOK_PRIVATE_ADDRESSES": "true"}
        own = {
            "DATA_DIR": str(self.options.data),
            "STATIC_ROOT": str(make_private(self.options.data / "static")),
            "WEB_URL": f"http://127.0.0.1:{self.options.port}",
            "NODE_BINARY": node,
        }
        env = lenient | application_environment() | self.vault.application() | dict(databases) | own | network
        return parts.Site(env=env, logs=self.logs, data=self.options.data, port=self.options.port, simulator_port=port)


def application_environment() -> dict[str, str]:
    """This process's environment without what would point the parts elsewhere; `.env` has been read into it already."""
    kept = {name: value for name, value in os.environ.items() if name not in {"WA_SOCKET_URL", "SIMULATOR_URL"}}
    fixed = {"RESTAURANT_WA_NO_BOOTSTRAP": "1", "RESTAURANT_WA_IGNORE_DOTENV": "1", "WHATSAPP_PORT": "0", "PYTHONUNBUFFERED": "1"}
    return kept | {"DJANGO_SETTINGS_MODULE": "restaurant_wa.settings"} | fixed | _reached_on_this_machine()


def _reached_on_this_machine() -> dict[str, str]:
    """By HTTP and its own names, also where `.env` is meant for an installation behind a TLS proxy."""
    hosts = ",".join(filter(None, (os.environ.get("ALLOWED_HOSTS"), "localhost,127.0.0.1,[::1]")))
    return {"ALLOWED_HOSTS": hosts, "SECURE_COOKIES": "false", "SECURE_SSL_REDIRECT": "false"}


def simulated_network(port: int) -> dict[str, str]:
    """Its client version is told by it as well, whatever address was meant for WhatsApp's."""
    return {"WA_SOCKET_URL": f"ws://127.0.0.1:{port}/ws/chat", "SIMULATOR_URL": f"http://127.0.0.1:{port}", "WA_VERSION_URL": ""}


def open_to_strangers(chosen: Mapping[str, str]) -> dict[str, str]:
    """Defaults for a network that bans nobody: strangers are written to as everybody else, and any number of them."""
    return {
        "COLD_MIN_DELAY_MS": chosen.get("PACE_MIN_DELAY_MS", "2000"),
        "COLD_MAX_DELAY_MS": chosen.get("PACE_MAX_DELAY_MS", "10000"),
        "WARM_UP": "false",
        "STRANGERS_DAILY_LIMIT": "0",
        "IDENTICAL_LIMIT": "0",
        "WA_LOOKUP_EVERY_MS": "0",
    }


def _require_space(data: Path) -> None:
    free = shutil.disk_usage(data).free
    if free < MIN_FREE_BYTES:
        raise Problem(f"The disk is full: {free // 2**20} MB are free at {data}, {MIN_FREE_BYTES // 2**20} MB are needed.")
