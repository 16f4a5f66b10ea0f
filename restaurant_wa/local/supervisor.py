"""Keeps the parts running: a part that ends is started again, later each time; if PostgreSQL ends, that is the end."""

import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from restaurant_wa.local.children import Child, Children
from restaurant_wa.local.console import Problem
from restaurant_wa.local.parts import Part, reported_error
from restaurant_wa.local.stop import Stop

FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0
STEADY_S = 60.0  # having run this long, a part is new again
READY_TIMEOUT_S = 90.0
LOG_LIMIT = 50 * 1024 * 1024
CHECK_S = 5.0


def backoff(failures: int) -> float:
    """Seconds before the next start, after that many ends in a row."""
    return min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** max(0, failures - 1))


@dataclass
class Running:
    part: Part
    child: Child | None
    failures: int = 0
    start_at: float = 0.0


class Supervisor:
    def __init__(self, *, children: Children, stop: Stop, say: Callable[[str], None]) -> None:
        self._children = children
        self._stop = stop
        self._say = say
        self._parts: list[Running] = []
        self._databases: list[Child] = []

    def watch(self, database: Child) -> None:
        self._databases.append(database)

    def start(self, parts: Iterable[Part]) -> None:
        for part in parts:
            self._parts.append(Running(part, self._children.spawn(part.program)))

    def adopt(self, part: Part, child: Child) -> None:
        """Look after a part that somebody else has started."""
        self._parts.append(Running(part, child))

    def wait_ready(self, timeout: float = READY_TIMEOUT_S) -> None:
        """Wait until every part is. Raises Problem when one ends before or is not ready in time, Stopped when asked to stop."""
        deadline = time.monotonic() + timeout
        waiting = list(self._parts)
        while waiting:
            self.check_started()
            waiting = [running for running in waiting if not running.part.ready()]
            if waiting and time.monotonic() > deadline:
                names = ", ".join(running.part.name for running in waiting)
                raise Problem(f"Not ready within {timeout:.0f} s: {names}. See the logs in {waiting[0].part.program.log.parent}.")
            self._stop.sleep(0.1 if waiting else 0)

    def check_started(self) -> None:
        """While starting, an end is not tried again: its reason is told. Raises Problem."""
        self._check_databases()
        for running in self._parts:
            if running.child and not running.child.running:
                raise Problem(_end_of(running.child) + f" (log: {running.part.program.log})")

    def run(self) -> None:
        """Watch until stopping is asked for (Stopped) or a database ends (Problem)."""
        while True:
            self._check_databases()
            for running in self._parts:
                self._look_after(running)
            self._stop.sleep(self._until_next_start())

    def stop_parts(self) -> None:
        """Stage by stage: workers, then web, then the network, then Valkey."""
        for stage in sorted({running.part.stage for running in self._parts}):
            children = [running.child for running in self._parts if running.part.stage == stage and running.child]
            self._children.stop(*children, hurry=self._stop.hurried)
        self._parts.clear()

    def _check_databases(self) -> None:
        for database in self._databases:
            if not database.running:
                raise Problem(_end_of(database) + f"; nothing works without it (log: {database.program.log})")

    def _look_after(self, running: Running) -> None:
        now = time.monotonic()
        if running.child and not running.child.running:
            self._ended(running, running.child, now)
        elif running.child is None and now >= running.start_at:
            running.child = self._children.spawn(running.part.program)
        limit_log(running)

    def _ended(self, running: Running, child: Child, now: float) -> None:
        self._children.forget(child)
        running.child = None
        running.failures = 1 if now - child.started > STEADY_S else running.failures + 1
        running.start_at = now + backoff(running.failures)
        self._say(f"{_end_of(child)}; starting it again in {backoff(running.failures):g} s (log: {running.part.program.log})")

    def _until_next_start(self) -> float:
        now = time.monotonic()
        return min([CHECK_S, *(running.start_at - now for running in self._parts if running.child is None)])


def limit_log(running: Running) -> None:
    """Keep the last log once beside the new one. The program appends, so that truncating is safe; a few lines may be lost."""
    log = running.part.program.log
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.with_suffix(".log.1").write_bytes(log.read_bytes())
        with log.open("r+b") as handle:
            handle.truncate(0)


def _end_of(child: Child) -> str:
    code = child.process.returncode
    if code == -signal.SIGKILL:
        return f"{child.program.name} was killed by signal 9"  # its last words are about something else
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    return f"{child.program.name} {how}: {reported_error(child.last_words())}"
