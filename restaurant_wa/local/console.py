"""What `manage.py up` says on the terminal: steps with their time, and one clear line when something is in the way."""

import contextlib
import errno
import sys
import threading
import time
from collections.abc import Iterator
from typing import NoReturn


class Problem(Exception):
    """Something a person has to mend; the message says what, in one line."""


def die(problem: BaseException) -> NoReturn:
    print(f"\nerror: {problem}", file=sys.stderr, flush=True)
    sys.exit(1)


def explain(error: OSError) -> Problem:
    """The one line for what a file system refuses."""
    where = f": {error.filename}" if error.filename else ""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Problem(f"The disk is full{where}. Free some space and run this again.")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return Problem(f"No permission to write{where}. Choose another directory with --data DIR.")
    return Problem(f"{error.strerror or error}{where}.")


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Shows `what` at once, ticking seconds on a terminal, and how long it took when it is done."""
    started = time.monotonic()
    done = threading.Event()
    terminal = sys.stdout.isatty()
    print(f"  {what} …", end="" if terminal else "\n", flush=True)
    ticker = threading.Thread(target=_tick, args=(what, started, done), daemon=True) if terminal else None
    if ticker:
        ticker.start()
    try:
        yield
    except BaseException:
        _finish(ticker, done)
        raise
    _finish(ticker, done)
    print(f"{chr(13) if terminal else ''}  {what}: {time.monotonic() - started:.1f} s", flush=True)


def _finish(ticker: threading.Thread | None, done: threading.Event) -> None:
    done.set()
    if ticker:
        ticker.join()
        print("\r", end="")


def _tick(what: str, started: float, done: threading.Event) -> None:
    while not done.wait(1):
        print(f"\r  {what} … {time.monotonic() - started:.0f} s", end="", flush=True)
