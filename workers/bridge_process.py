"""The worker's bridge: a Node process, its child, started again whenever it ends."""

import json
import os
import random
import re
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import IO, Protocol

import structlog

from sessions_app.policy.backoff import backoff
from workers.bridge_command import BridgeMissing, command, environment
from workers.clocks import steady
from workers.node import BRIDGE
from workers.spool import SpoolDirectory, SpoolHeld

log = structlog.get_logger(__name__)
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 8.0
STEADY_AFTER_S = 60.0
ADOPT_EVERY_S = 10.0
IN_ORDER = {0, -signal.SIGTERM, -signal.SIGINT}  # somebody asked for it, perhaps before it could answer
_ERROR = re.compile(r'"level":"(error|fatal)"')


@dataclass(frozen=True, slots=True)
class BridgeStatus:
    """`generation` counts the processes: another number means that every socket of the one before is gone. `deaths` counts those
    that were ready and ended otherwise than in order, the last one at `died_at` on the steady clock."""

    ready: bool = False
    base_url: str = ""
    detail: str = "starting"
    generation: int = 0
    deaths: int = 0
    died_at: float = 0.0


class BridgeHost(Protocol):
    @property
    def status(self) -> BridgeStatus: ...

    def kill_hung(self, generation: int) -> None: ...


class BridgeProcess:
    """`status` may be read from any thread; one thread of its own starts, watches and restarts the process, another one looks
    for events that others have left."""

    def __init__(self, *, spool: Path, argv: Sequence[str] | None = None, env: Mapping[str, str] | None = None) -> None:
        self.status = BridgeStatus()
        self._spool = SpoolDirectory(spool)
        self._argv = argv
        self._env = env
        self._process: subprocess.Popen[str] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._supervise, name="bridge", daemon=True)
        self._adopter = threading.Thread(target=self._adopt, name="spool", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._adopter.start()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Ends it in order: the bridge closes its sockets without logging out and flushes its spool. One that takes longer is
        killed."""
        self._stopping.set()
        self._signal(signal.SIGTERM)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self.kill()
            self._thread.join(1)

    def kill(self) -> None:
        self._stopping.set()
        self._signal(signal.SIGKILL)

    def kill_hung(self, generation: int) -> None:
        """kill -9 of that process, if it still is the one that runs; another one is started."""
        if self.status.ready and self.status.generation == generation:
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)

    def _supervise(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            started = steady()
            try:
                self._run_once()
            except (BridgeMissing, SpoolHeld) as error:
                self._say(f"{error}")
            except OSError as error:
                self._say(f"the bridge could not be started: {error}")
            except Exception as error:
                log.exception("bridge.supervisor_failed")
                self._say(f"the bridge could not be started: {type(error).__name__}")
            failures = 1 if steady() - started > STEADY_AFTER_S else failures + 1
            pause = backoff(failures, base=timedelta(seconds=0.5), cap=timedelta(seconds=30), jitter=random.random())
            self._stopping.wait(pause.total_seconds())
        self._say("stopped")

    def _adopt(self) -> None:
        while not self._stopping.wait(ADOPT_EVERY_S):
            try:
                self._spool.adopt()
            except OSError as error:
                log.warning("spool.not_adopted", detail=str(error))

    def _run_once(self) -> None:
        """From start to end of one process."""
        lock = self._spool.hold()
        argv = list(self._argv) if self._argv else command()
        env = dict(self._env) if self._env is not None else environment(self._spool.path)
        # The pipe on stdin stays open as long as this process lives: its end is how the bridge learns of our death.
        # A group of its own: a signal meant for the worker's whole group must not end the bridge before its last sends.
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env, cwd=BRIDGE, process_group=0, pass_fds=(lock,)
        )
        self._process = process
        if self._stopping.is_set():
            process.terminate()
        assert process.stdin and process.stdout and process.stderr
        threading.Thread(target=_forward, args=(process.stderr,), name="bridge-log", daemon=True).start()
        deadline = threading.Timer(READY_TIMEOUT_S, process.kill)
        deadline.start()
        try:
            self._become_ready(process.stdout, process.pid)
            deadline.cancel()
            for _ in process.stdout:  # until it ends
                pass
            self._wait(process, ended_at=steady())
        finally:
            deadline.cancel()
            self._end(process)

    def _become_ready(self, stdout: IO[str], pid: int) -> None:
        line = stdout.readline()
        if self._stopping.is_set():
            return
        try:
            said = json.loads(line)
            ready = bool(said["ready"])
        except (ValueError, KeyError, TypeError):
            said, ready = {"error": f"the bridge did not say that it is ready within {READY_TIMEOUT_S:g} s"}, False
        if not ready:
            self._say(str(said.get("error", "the bridge did not start")))
            return
        url, generation = f"http://127.0.0.1:{int(said['port'])}", self.status.generation + 1
        self.status = replace(self.status, ready=True, base_url=url, detail="", generation=generation)
        log.info("bridge.ready", port=said["port"], pid=pid)

    def _wait(self, process: subprocess.Popen[str], *, ended_at: float) -> None:
        try:
            code = process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        if not self._stopping.is_set():
            log.error("bridge.ended", pid=process.pid, exit_code=code)
            if self.status.ready:
                self._say(
                    f"the bridge ended with code {code}; it is being started again",
                    died_at=None if code in IN_ORDER else ended_at,
                )

    def _end(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()

    def _say(self, detail: str, *, died_at: float | None = None) -> None:
        if detail != self.status.detail and detail != "stopped":
            log.error("bridge.not_ready", detail=detail)
        down = replace(self.status, ready=False, base_url="", detail=detail)
        self.status = down if died_at is None else replace(down, deaths=down.deaths + 1, died_at=died_at)


def _forward(stderr: IO[str]) -> None:
    """The bridge's JSON log lines, into this process's log as they are; its errors also to where ours are reported. A log that
    takes none (its disk is full) must not hold up the bridge, which waits until each of its lines has been taken."""
    for line in stderr:
        with suppress(OSError):
            os.write(2, line.encode())
        if _ERROR.search(line):
            _report(line)
    stderr.close()


def _report(line: str) -> None:
    try:
        said = json.loads(line)
    except ValueError:  # not a line of its log
        return
    import sentry_sdk

    with sentry_sdk.new_scope() as scope:
        scope.set_context("bridge", said)
        sentry_sdk.capture_message(f"bridge: {said.get('event', '')}", level="error")
