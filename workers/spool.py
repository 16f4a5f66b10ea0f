"""Where a bridge keeps events that the web side has not taken yet: a directory of its own among its neighbours'.

A worker's name may be new with every start (a recreated container), or never come back (fewer workers), and what waits on disk
must not wait for it. So whoever starts takes over what lies in directories that nobody holds, and looks for more now and then.
Holding is a lock on the directory, shared by the worker and its bridge, which inherits it: a bridge that outlives its killed
worker by seconds is still a holder.
"""

import fcntl
import os
import sys
from contextlib import suppress
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

SEGMENTS = "*-*-*.ndjson"  # the names begin with a time, and no two are alike: segments of several bridges sort into one row
FEW_SEGMENTS = 3  # none is larger than a quarter of what a bridge keeps: there is room for what comes
_LOCK = ".lock"
_CURSOR = "cursor.json"  # how far the bridge had come with a segment that is not there any more


class SpoolHeld(Exception):
    """Another process holds this directory."""


class SpoolDirectory:
    """`hold` is for one thread, `adopt` for any."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def hold(self) -> int:
        """Makes and locks the directory, once, and takes over what nobody holds beside it. Answers the lock's file descriptor,
        for the bridge to inherit. Raises SpoolHeld; OSError when the disk refuses."""
        if self._lock is None:
            self._lock = _take(self.path)
            self._adopt_neighbours()
        return self._lock

    def adopt(self) -> None:
        """Takes over what nobody holds any more, for the bridge that runs here: the oldest of it, as long as little waits here.
        A web side that takes nothing finds it where it lies. Raises OSError."""
        if self._lock is not None:
            self._adopt_neighbours(up_to=FEW_SEGMENTS)

    def _adopt_neighbours(self, *, up_to: int = sys.maxsize) -> None:
        for neighbour in sorted(self.path.parent.iterdir()):
            if neighbour == self.path or not neighbour.is_dir():
                continue
            try:
                lock = _take(neighbour)
            except SpoolHeld:
                continue
            try:
                self._adopt(neighbour, up_to)
            finally:
                os.close(lock)

    def _adopt(self, neighbour: Path, up_to: int) -> None:
        room = max(0, up_to - len(list(self.path.glob(SEGMENTS))))
        segments = sorted(neighbour.glob(SEGMENTS))[:room]
        for segment in segments:
            segment.rename(self.path / segment.name)
        if segments:
            log.info("spool.adopted", of=neighbour.name, segments=len(segments))
        if {left.name for left in neighbour.iterdir()} <= {_LOCK, _CURSOR}:  # else refused events lie there, for a person
            (neighbour / _CURSOR).unlink(missing_ok=True)
            (neighbour / _LOCK).unlink()
            with suppress(OSError):  # somebody has just begun to use it again
                neighbour.rmdir()


def _take(directory: Path) -> int:
    """The lock of the directory, which is made if need be. Whoever adopts a directory removes it: then it is made anew."""
    while True:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            lock = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_nlink:
                return lock
        except BlockingIOError:
            os.close(lock)
            raise SpoolHeld(f"another process holds {directory}") from None
        os.close(lock)
