"""Processes as the system sees them."""

import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    command: str

    def alive(self) -> bool:
        """Still the same program; a zombie that init has not collected yet does not count."""
        return any(each.pid == self.pid and each.command == self.command for each in table())


def table() -> list[Process]:
    listing = subprocess.run(
        ["ps", "-axww", "-o", "pid=,ppid=,stat=,args="], capture_output=True, text=True, timeout=10, check=True
    )
    rows = [line.split(maxsplit=3) for line in listing.stdout.splitlines()]
    return [Process(int(pid), int(parent), args[0]) for pid, parent, state, *args in rows if args and not state.startswith("Z")]


def tree(root: int) -> list[Process]:
    """Every descendant of `root`."""
    found: list[Process] = []
    parents, everything = {root}, table()
    while children := [each for each in everything if each.parent in parents]:
        found.extend(children)
        parents = {each.pid for each in children}
    return found
