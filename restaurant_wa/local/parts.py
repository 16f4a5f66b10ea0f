"""The application's programs: how each is started on one machine, when it is ready, and in which order they end."""

import json
import sys
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from restaurant_wa.local.children import Program
from restaurant_wa.local.places import BASE_DIR, BRIDGE_DIR
from workers.node import COMPILED

WEB_THREADS = 8
SIMULATOR_PORT = 8099
LAST_STAGE = 4  # of Valkey: after everything that uses it


@dataclass(frozen=True, kw_only=True)
class Part:
    """One program. Parts of a lower `stage` are stopped before those of a higher one."""

    program: Program
    stage: int
    ready: Callable[[], bool] = lambda: True

    @property
    def name(self) -> str:
        return self.program.name


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where the parts run: addresses, directories and the environment they share."""

    env: Mapping[str, str]
    logs: Path
    data: Path
    port: int
    simulator_port: int = 0  # 0: no simulated network, the real WhatsApp
    simulator_keeps: bool = True  # on disk, over a restart of it


def session_worker(site: Site, number: int) -> Part:
    """Owns sessions and runs their bridge. Ends first, while web still takes its bridge's last events."""
    name = f"session-{number}"
    flags = ["--sessions", "-P", "threads", "-c", "2", "--without-heartbeat", "--without-gossip", "--without-mingle"]
    program = _program(site, name, [*_celery("worker"), *flags, "-n", f"{name}@%h", "-l", "INFO"], grace_s=20)
    return Part(program=program, stage=1, ready=lambda: _worker_ready(site.env["DATABASE_URL"], name))


def default_worker(site: Site) -> Part:
    """Webhooks and periodic work, in processes of their own so that they never delay a send."""
    flags = ["-Q", "default", "-P", "prefork", "-c", "2", "--without-heartbeat", "--without-gossip", "--without-mingle"]
    program = _program(site, "default", [*_celery("worker"), *flags, "-n", "default@%h", "-l", "INFO"], grace_s=20)
    return Part(program=program, stage=1)


def beat(site: Site) -> Part:
    return Part(program=_program(site, "beat", [*_celery("beat"), "--pidfile=", "-l", "INFO"]), stage=1)


def web(site: Site) -> Part:
    flags = ["--interface", "wsgi", "--http", "1", "--host", "127.0.0.1", "--port", str(site.port), "--no-ws"]
    sizes = ["--workers", "1", "--blocking-threads", str(WEB_THREADS), "--workers-kill-timeout", "5"]
    logs = ["--log-config", str(BASE_DIR / "restaurant_wa" / "granian_logging.json")]
    argv = [sys.executable, "-m", "granian", *flags, *sizes, *logs, "restaurant_wa.wsgi:application"]
    return Part(program=_program(site, "web", argv), stage=2, ready=lambda: _answers(f"http://127.0.0.1:{site.port}/livez"))


def simulator(site: Site) -> Part:
    """The simulated WhatsApp network; it ends last, and by itself when its parent is gone."""
    place = ["--port", str(site.simulator_port), *(["--data", str(site.data / "simulator")] if site.simulator_keeps else [])]
    argv = [site.env["NODE_BINARY"], str(BRIDGE_DIR / "simulator" / "main.js"), *place]
    extra = {"SIMULATOR_EXIT_WITH_PARENT": "1", "NODE_COMPILE_CACHE": str(COMPILED)}
    program = _program(site, "simulator", argv, extra=extra, holds_stdin=True)
    return Part(program=program, stage=3, ready=lambda: _answers(f"http://127.0.0.1:{site.simulator_port}/api/health"))


def all_parts(site: Site, *, workers: int) -> list[Part]:
    networks = [simulator(site)] if site.simulator_port else []
    return [*networks, web(site), *(session_worker(site, n + 1) for n in range(workers)), default_worker(site), beat(site)]


def _celery(command: str) -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "workers", command]


def _program(
    site: Site,
    name: str,
    argv: list[str],
    *,
    extra: Mapping[str, str] | None = None,
    holds_stdin: bool = False,
    grace_s: float = 12.0,
) -> Program:
    return Program(
        name=name,
        argv=argv,
        log=site.logs / f"{name}.log",
        env={**site.env, **(extra or {})},
        cwd=BASE_DIR,
        holds_stdin=holds_stdin,
        grace_s=grace_s,
    )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _worker_ready(database_url: str, name: str) -> bool:
    """Its row says that its lease is alive and its bridge answers."""
    query = "SELECT bridge_ready FROM worker WHERE name LIKE %s AND expires_at > now() AND NOT draining"
    try:
        with psycopg.connect(database_url, connect_timeout=2) as connection:
            row = connection.execute(query, [f"{name}@%"]).fetchone()
    except psycopg.Error:
        return False
    return bool(row and row[0])


def reported_error(line: str) -> str:
    """What a Node program printed as its one clear line, or the line itself."""
    try:
        found = json.loads(line)
    except ValueError:
        return line
    return str(found.get("error") or found.get("event") or found.get("msg") or line) if isinstance(found, dict) else line
