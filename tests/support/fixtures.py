"""Fixtures shared by all tests: factories of stacks."""

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
    """The same for all tests of a module, which `--dist loadfile` keeps in one xdist worker."""
    with _stacks() as make:
        yield make


@contextmanager
def _stacks() -> Iterator[MakeStack]:
    made: list[Stack] = []
    root = Path(tempfile.mkdtemp(prefix="restaurant-wa-stack-"))
    root.chmod(0o711)  # PostgreSQL's unprivileged user passes through

    def make(*, workers: int = 1, start: bool = True, **options: Any) -> Stack:
        stack = Stack(root / f"stack{len(made)}", **options)
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
