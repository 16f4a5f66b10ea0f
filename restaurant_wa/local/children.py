"""Child processes that never outlive their parent, not even by kill -9.

Two nets: on Linux the kernel signals a child when its parent dies (PR_SET_PDEATHSIG); everywhere a warden process, told of
every group, reads end-of-file on its pipe and ends what is left, grandchildren included. PDEATHSIG fires when the *thread*
that spawned dies, so children are spawned from the main thread only.
"""

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from restaurant_wa.local.console import Problem, explain
from restaurant_wa.local.identity import Identity

PR_SET_PDEATHSIG = 1
LOOK_S = 0.03
WARDEN = Path(__file__).with_name("warden.py")


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run and how it ends: `stop_signal`, then SIGKILL after `grace_s` seconds."""

    name: str
    argv: Sequence[str | Path]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    identity: Identity | None = None
    holds_stdin: bool = False  # its stdin is a pipe whose end-of-file tells it that its parent is gone
    stop_signal: int = signal.SIGTERM
    death_signal: int = signal.SIGKILL  # sent when the parent was killed
    grace_s: float = 15.0


class Child:
    """One running program, the leader of its own process group."""

    def __init__(self, program: Program, process: "subprocess.Popen[bytes]") -> None:
        self.program = program
        self.process = process
        self.started = time.monotonic()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)

    def kill_group(self) -> None:
        """End what is left of the group: a killed Celery leaves its pool behind."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def last_words(self) -> str:
        """The line of its log that most likely says why it ended, for the one line a person reads."""
        lines = [line.strip() for line in tail(self.program.log).splitlines()]
        lines = [line for line in lines if line and not line.startswith(("at ", "}", "{}", "^", "Node.js v"))][-20:]
        telling = [line for line in lines if re.search(r"\b\w*(error|fatal|exception)\b", line, re.IGNORECASE)]
        return (telling or lines or ["it wrote nothing"])[-1]


class Children:
    """Starts and stops programs. Not thread-safe: for the main thread."""

    def __init__(self) -> None:
        self._warden: subprocess.Popen[bytes] | None = None
        self._running: list[Child] = []

    def spawn(self, program: Program) -> Child:
        """Start it. Raises Problem if it cannot be started."""
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("children are spawned from the main thread only")
        warden = self._warden or self._start_warden()
        try:
            child = Child(program, _popen(program))
        except OSError as error:
            raise explain(error) from error
        self._running.append(child)
        _tell(warden, f"+{child.pid} {program.death_signal}\n")
        return child

    def start(
        self, program: Program, answers: Callable[[], bool], *, what: str, within_s: float, wait: Callable[[float], object]
    ) -> Child:
        """Spawn it and wait until it answers. Raises Problem when it ends before, or does not answer in time."""
        child = self.spawn(program)
        deadline = time.monotonic() + within_s
        while not answers():
            if not child.running:
                self.forget(child)
                raise Problem(f"{what} did not start: {child.last_words()} (log: {program.log})")
            if time.monotonic() > deadline:
                raise Problem(f"{what} did not answer within {within_s:.0f} s (log: {program.log})")
            wait(LOOK_S)
        return child

    def stop(self, *children: Child, hurry: Callable[[], bool] = lambda: False) -> None:
        """Stop them together, each within its grace (none at all once `hurry` says so), and reap them with their groups."""
        for child in children:
            child.signal(child.program.stop_signal)
        for child in children:
            _wait(child, hurry)
            self.forget(child)

    def forget(self, child: Child) -> None:
        """Reap an ended child, with whatever is left of its group."""
        child.kill_group()
        child.process.wait()
        if child.process.stdin:
            child.process.stdin.close()
        if child in self._running:
            self._running.remove(child)
        if self._warden:
            _tell(self._warden, f"-{child.pid}\n")

    def close(self) -> None:
        """Stop what still runs, last started first, and the warden."""
        for child in reversed(self._running.copy()):
            self.stop(child)
        if self._warden and self._warden.stdin:
            self._warden.stdin.close()
            self._warden.wait()
            self._warden = None

    def _start_warden(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-I", "-S", str(WARDEN)]
        self._warden = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
        return self._warden


def _popen(program: Program) -> "subprocess.Popen[bytes]":
    who = program.identity
    with open_log(program.log) as log:
        return subprocess.Popen(
            [str(part) for part in program.argv],
            env=dict(program.env) or None,
            cwd=program.cwd,
            stdin=subprocess.PIPE if program.holds_stdin else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            user=who.uid if who else None,
            group=who.gid if who else None,
            extra_groups=[] if who else None,
            preexec_fn=_die_with_parent(program.death_signal),
        )


def _die_with_parent(number: int) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel knew
            os._exit(1)

    return arm


def open_log(path: Path) -> IO[bytes]:
    """Append, readable by the owner only. Appending lets the log be truncated while it is written."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb")


def _wait(child: Child, hurry: Callable[[], bool]) -> None:
    deadline = time.monotonic() + child.program.grace_s
    while child.running and time.monotonic() < deadline and not hurry():
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(0.1)


def _tell(warden: "subprocess.Popen[bytes]", line: str) -> None:
    if warden.stdin is None or warden.poll() is not None:
        raise Problem("the warden process ended; stopping, because orphans could no longer be prevented")
    with contextlib.suppress(BrokenPipeError):
        warden.stdin.write(line.encode())
        warden.stdin.flush()


def tail(path: Path, size: int = 4_096) -> str:
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - size))
            return log.read().decode(errors="replace")
    except OSError:
        return ""
