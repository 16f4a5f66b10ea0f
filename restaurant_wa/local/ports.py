"""TCP ports of 127.0.0.1."""

import socket

from restaurant_wa.local.console import Problem

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port(preferred: int = 0) -> int:
    """`preferred` if nobody listens there, else any free one."""
    if preferred and is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def require_free(port: int) -> int:
    """Raises Problem when another program listens on `port`."""
    if not 1 <= port <= 65_535:
        raise Problem(f"{port} is not a port number between 1 and 65535.")
    if not is_free(port):
        raise Problem(f"Port {port} of {LOOPBACK} is busy or not allowed. Choose another one with --port.")
    return port
