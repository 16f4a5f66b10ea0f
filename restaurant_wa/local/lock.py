"""One `up` for each data directory."""

import fcntl
import os
from pathlib import Path

from restaurant_wa.local.console import Problem, explain


def hold(data: Path) -> int:
    """Take the lock until this process ends, however it ends; returns its file descriptor. Raises Problem if it is held."""
    path = data / "up.lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise explain(error) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 32).decode().strip() or "unknown"
        os.close(handle)
        raise Problem(f"Another `manage.py up` (process {holder}) is running on {data}. Stop it, or choose --data DIR.") from None
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle
