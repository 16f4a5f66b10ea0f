"""Run as a program: remembers process groups told on stdin (`+PID SIGNAL`, `-PID`) and ends them at end-of-file.

Standard library only, started with -I -S, so that it costs little and cannot be kept from starting by a broken environment.
"""

import os
import signal
import sys
import time

GRACE_S = 10.0


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: dict[int, int] = {}
    for line in sys.stdin:
        pid, _, number = line[1:].strip().partition(" ")
        if line.startswith("+"):
            groups[int(pid)] = int(number)
        else:
            groups.pop(int(pid), None)
    _end(groups)


def _end(groups: dict[int, int]) -> None:
    """Newest first, as an orderly stop would: programs before the databases they write to."""
    for pid, number in reversed(groups.items()):
        _signal_group(pid, number)
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline and any(_signal_group(pid, 0) for pid in groups):
        time.sleep(0.05)
    for pid in groups:
        _signal_group(pid, signal.SIGKILL)


def _signal_group(pid: int, number: int) -> bool:
    """False if the group is gone."""
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of a group of zombies
        return False
    return True


if __name__ == "__main__":
    main()
