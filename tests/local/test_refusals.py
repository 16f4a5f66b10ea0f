"""What is in the way is told in one clear line, with exit code 1 and no traceback."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from restaurant_wa.local.places import BASE_DIR
from restaurant_wa.local.ports import LOOPBACK, free_port

UNSHARE = ["unshare", "--mount", "sh", "-c"]


def up(*arguments: str, env: Mapping[str, str] | None = None, before: list[str] | None = None) -> tuple[int, str]:
    """Exit code and what was said on standard error."""
    command = [*(before or []), sys.executable, "manage.py", "up", *arguments]
    done = subprocess.run(
        command, cwd=BASE_DIR, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=90, check=False
    )
    return done.returncode, done.stderr.strip()


def one_line(error: str) -> str:
    assert error.startswith("error: "), error
    assert len(error.splitlines()) == 1, error
    return error


def test_a_busy_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, error = up("--data", str(tmp_path / "data"), "--port", str(port))
    assert code == 1
    assert f"Port {port} of 127.0.0.1 is busy" in one_line(error)


@pytest.mark.parametrize("port", ["0", "70000"])
def test_a_port_that_is_none(tmp_path: Path, port: str) -> None:
    code, error = up("--data", str(tmp_path / "data"), "--port", port)
    assert code == 1
    assert f"{port} is not a port number" in one_line(error)


def test_a_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("something else")
    code, error = up("--data", str(tmp_path / "data"))
    assert code == 1
    assert "is not a directory" in one_line(error)


def test_a_directory_that_cannot_be_written() -> None:
    code, error = up("--data", "/proc/restaurant-wa")
    assert code == 1
    assert "/proc/restaurant-wa" in one_line(error)


def test_a_full_disk(tmp_path: Path) -> None:
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        pytest.skip("mounting a small file system takes root on Linux")
    mount = f'mount -t tmpfs -o size=8m tmpfs {tmp_path} && exec "$@"'
    code, error = up("--data", str(tmp_path / "data"), "--port", str(free_port()), before=[*UNSHARE, mount, "sh"])
    assert code == 1
    assert "The disk is full" in one_line(error)


def test_missing_node(tmp_path: Path) -> None:
    code, error = up("--data", str(tmp_path), "--port", str(free_port()), env={"NODE_BINARY": "/nowhere/node"})
    assert code == 1
    assert "/nowhere/node" in one_line(error)


def test_data_of_the_other_network(tmp_path: Path) -> None:
    (tmp_path / "network").write_text("live\n")
    code, error = up("--data", str(tmp_path))
    assert code == 1
    assert "belongs to the live WhatsApp" in one_line(error)


def test_no_workers(tmp_path: Path) -> None:
    code, error = up("--data", str(tmp_path), "--workers", "0")
    assert code == 1
    assert "--workers must be at least 1" in one_line(error)


def test_a_database_that_nobody_answers_for(tmp_path: Path) -> None:
    env = {"DATABASE_URL": f"postgresql://x:y@127.0.0.1:{free_port()}/z"}
    code, error = up("--data", str(tmp_path / "data"), "--port", str(free_port()), env=env)
    assert code == 1
    assert "refused" in one_line(error)
