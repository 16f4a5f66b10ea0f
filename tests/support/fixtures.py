"""Fixtures shared by all tests: factories of stacks, and the browser."""

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import Stack

MakeStack = Callable[..., Stack]
_live: list[Stack] = []


@pytest.fixture
def make_stack() -> Iterator[MakeStack]:
    """Makes and starts stacks that live for one test: `make_stack(workers=1, PACE_MIN_DELAY_MS=50)`."""
    with _stacks() as make:
        yield make


@pytest.fixture(scope="module")
def make_module_stack() -> Iterator[MakeStack]:
    """The same for all tests of a module; run those in one xdist worker."""
    with _stacks() as make:
        yield make


@contextmanager
def _stacks() -> Iterator[MakeStack]:
    made: list[Stack] = []
    root = Path(tempfile.mkdtemp(prefix="restaurant-wa-stack-"))
    root.chmod(0o711)  # PostgreSQL's unprivileged user passes through

    def make(*, workers: int = 1, start: bool = True, own_postgres: bool = False, **configuration: object) -> Stack:
        stack = Stack(root / f"stack{len(made)}", own_postgres=own_postgres, **configuration)
        made.append(stack)
        _live.append(stack)
        if start:
            stack.start_all(workers=workers)
        return stack

    try:
        yield make
    finally:
        for stack in made:
            stack.close()
            _live.remove(stack)
        shutil.rmtree(root, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what its parts logged last."""
    report = yield
    if report.failed:
        for stack in _live:
            report.sections.extend((f"log of {name}", text) for name, text in stack.last_logs())
    return report


# --- Browser ------------------------------------------------------------------------------------------------------

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"


def chromium_path() -> str | None:
    """CHROMIUM, else what is on PATH."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    return found or (MAC_CHROME if Path(MAC_CHROME).exists() else None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") and chromium_path() is None:
        pytest.skip("NO CHROMIUM: this browser test did not run. Install chromium, or set CHROMIUM to its path.")


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if "NO CHROMIUM" in str(report.longrepr)]
    if skipped:
        terminalreporter.section("NO CHROMIUM FOUND", sep="!", red=True, bold=True)
        terminalreporter.line(
            f"{len(skipped)} browser tests did NOT run. Install chromium (apt install chromium), or set CHROMIUM."
        )
