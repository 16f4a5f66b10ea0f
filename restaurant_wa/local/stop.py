"""SIGINT, SIGTERM and SIGHUP ask `up` to stop; SIGCHLD wakes it. Waiting ends at once on each of them."""

import os
import select
import signal
import time
from types import FrameType


class Stopped(Exception):
    """Somebody asked to stop while something was being waited for."""


class Stop:
    """A wake-up file descriptor instead of an Event: setting an Event inside a signal handler can deadlock its waiter."""

    def __init__(self) -> None:
        self.requests = 0
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def listen(self) -> None:
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def hurried(self) -> bool:
        """A second request: do not wait for what takes its time."""
        return self.requests > 1

    def sleep(self, seconds: float) -> None:
        """Return after `seconds`, or sooner when a signal came; raise Stopped once stopping was asked for."""
        if not self.requests:
            select.select([self._read], [], [], max(0.0, seconds))
            self._drain()
        if self.requests:
            raise Stopped

    def pause(self, seconds: float) -> None:
        """Wait at least `seconds` however many children end meanwhile. Raises Stopped."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.sleep(left)

    def _drain(self) -> None:
        try:
            while os.read(self._read, 512):
                pass
        except BlockingIOError:
            pass

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.requests += 1
