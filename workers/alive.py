"""A file that a worker touches while it does its work. A health check that goes by its age asks neither broker nor database, and
starts no program of ours."""

import threading
from contextlib import suppress
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


class AliveFile:
    """`touch` returns at once and never raises: a disk that is full or stands still costs no heartbeat. Each has a thread of its
    own; one that was begun for all of them before a fork would not be there after it."""

    def __init__(self, path: str) -> None:
        self._path = path  # empty: there is none
        self._hand: threading.Thread | None = None
        self._told = False

    def touch(self) -> None:
        if not self._path or (self._hand and self._hand.is_alive()):
            return
        self._hand = threading.Thread(target=self._touch, name="alive", daemon=True)
        with suppress(RuntimeError):  # the system has no thread left: the file grows old
            self._hand.start()

    def _touch(self) -> None:
        try:
            Path(self._path).touch()
        except OSError as error:
            if not self._told:
                log.error("alive_file.failed", path=self._path, error=str(error), mend="make room, or name another place")
            self._told = True
        else:
            self._told = False
