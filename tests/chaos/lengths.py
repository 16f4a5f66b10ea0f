"""Outages whose length is the scenario itself: however quick what happens meanwhile is, they last their time."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


def rest_until(moment: float) -> None:
    """Waits for a moment of the steady clock, for what nothing else can tell: that time has passed."""
    threading.Event().wait(max(0.0, moment - time.monotonic()))


@contextmanager
def lasting(seconds: float) -> Iterator[None]:
    """The block takes that long at least."""
    began = time.monotonic()
    yield
    rest_until(began + seconds)


@contextmanager
def frozen(*pids: int, seconds: float = 0.0) -> Iterator[None]:
    """SIGSTOP, SIGCONT: the processes do not run for that long, and thaw whatever happens in the block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        with lasting(seconds):
            yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
