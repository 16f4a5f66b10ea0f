"""CPU time and memory of running processes, from Linux's /proc."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from restaurant_wa.local.console import Problem

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class _Line:
    """What of `/proc/<pid>/stat` is needed: times in clock ticks, memory in pages."""

    pid: int
    parent: int
    own: int
    of_ended_children: int
    resident: int


def require_proc() -> None:
    if not (PROC / "self" / "stat").exists():
        raise Problem("This benchmark reads CPU time and memory from /proc: it needs Linux.")


def cpu_s(pid: int) -> float:
    """User and system time of this process alone, all its threads. Raises Problem when it has ended."""
    return _read(pid).own / TICKS_A_SECOND


def cpu_with_children_s(pid: int) -> float:
    """With all its descendants, ended ones too."""
    return sum(line.own + line.of_ended_children for line in (_read(pid), *_below(pid))) / TICKS_A_SECOND


def rss_mb(pid: int) -> float:
    return _read(pid).resident * PAGE / 2**20


def only_child(pid: int) -> int:
    """A session worker's bridge. Raises Problem when there is none, or several."""
    found = [line.pid for line in _below(pid) if line.parent == pid]
    if len(found) != 1:
        raise Problem(f"Process {pid} has {len(found)} children, not one.")
    return found[0]


class Meter:
    """CPU seconds that processes take from now on. `alone` by name; `trees` with what they have started."""

    def __init__(self, alone: Mapping[str, int], trees: Mapping[str, int]) -> None:
        self._alone = dict(alone)
        self._trees = dict(trees)
        self._began = self._now()

    def taken_s(self) -> dict[str, float]:
        return {name: now - self._began[name] for name, now in self._now().items()}

    def _now(self) -> dict[str, float]:
        return {name: cpu_s(pid) for name, pid in self._alone.items()} | {
            name: cpu_with_children_s(pid) for name, pid in self._trees.items()
        }


def _read(pid: int) -> _Line:
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError as error:
        raise Problem(f"Process {pid}, which is being measured, has ended.") from error
    fields = text.rpartition(")")[2].split()  # from the third of proc(5) on: the command may hold spaces and brackets
    return _Line(
        pid=pid,
        parent=int(fields[1]),
        own=int(fields[11]) + int(fields[12]),
        of_ended_children=int(fields[13]) + int(fields[14]),
        resident=int(fields[21]),
    )


def _below(pid: int) -> Iterator[_Line]:
    lines = list(_all())
    parents = {pid}
    while found := [line for line in lines if line.parent in parents]:
        yield from found
        parents = {line.pid for line in found}


def _all() -> Iterator[_Line]:
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                yield _read(int(entry.name))
            except Problem:  # it has just ended
                continue
