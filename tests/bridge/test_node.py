"""The Node side's own tests, each file as one test here, with Node 24 and a migrated database of its own."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from restaurant_wa.local.places import BRIDGE_DIR, node_binary
from tests.support import databases

FILES = sorted((BRIDGE_DIR / "test").glob("*.test.js"))
TIMEOUT_S = 420


@pytest.fixture
def database() -> Iterator[str]:
    url = databases.clone()
    yield url
    databases.drop(url)


def test_there_are_node_tests() -> None:
    assert FILES, f"no *.test.js in {BRIDGE_DIR / 'test'}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_passes_its_node_tests(file: Path, database: str, record_property: Callable[[str, object], None]) -> None:
    code, output = _run(file, database)
    count = {name: int(number) for name, number in re.findall(r"^\S+ (tests|pass|fail|skipped) (\d+)$", output, re.MULTILINE)}
    record_property("node_tests", count.get("tests", 0))
    record_property("node_skipped", count.get("skipped", 0))
    assert code == 0, f"{file.name} failed (code {code}):\n{output[-20_000:]}"
    assert count.get("pass"), f"{file.name} ran no test:\n{output[-4_000:]}"


def _run(file: Path, database: str) -> tuple[int, str]:
    """In a process group of its own, so that a hanging test leaves no bridge or simulator behind."""
    # Timers of the client library would keep a finished file's process for another 30 s: hence the forced exit.
    command = [node_binary(), "--test", "--test-force-exit", "--test-reporter=spec", str(file)]
    env = os.environ | {"BRIDGE_TEST_DATABASE_URL": database, "NO_COLOR": "1"}
    process = subprocess.Popen(
        command, cwd=BRIDGE_DIR, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output = f"{process.communicate()[0]}\nstopped after {TIMEOUT_S} s"
    return process.returncode, output
