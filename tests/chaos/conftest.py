"""Dice that can be thrown again, and how much of the chaos is wanted."""

import random
import secrets

import pytest

from tests.support.options import rounds


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """The seed is in the report of a failed test; `--seed` throws the same again, in each of its rounds, and so does
    `--last-failed`."""
    seed = request.config.getoption("--seed")
    if seed is None:
        seed = _of_last_run(request) if request.config.getoption("lf", False) else None
    if seed is None:
        seed = secrets.randbits(32)
    if request.config.pluginmanager.hasplugin("cacheprovider"):
        request.config.cache.set(f"seeds/{request.node.nodeid}", seed)
    request.node.add_report_section("setup", "seed", f"--seed {seed}")
    return random.Random(f"{seed} {request.node.originalname}")


def _of_last_run(request: pytest.FixtureRequest) -> int | None:
    found: int | None = request.config.cache.get(f"seeds/{request.node.nodeid}", None)
    return found


@pytest.fixture
def outage_s(request: pytest.FixtureRequest) -> float:
    """How long a part stays away: longer than a lease, and half a minute with --long."""
    return 30.0 if request.config.getoption("--long") else 8.0


@pytest.fixture
def frozen_s(request: pytest.FixtureRequest) -> float:
    """How long a process does not run: longer than its lease."""
    return 15.0 if request.config.getoption("--long") else 8.0


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "dice" in metafunc.fixturenames and rounds(metafunc.config) > 1:
        metafunc.fixturenames.append("round_")
        metafunc.parametrize("round_", range(rounds(metafunc.config)))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    skipped = [item for item in items if (mark := item.get_closest_marker("chaos")) and mark.kwargs.get("long")]
    items[:] = [item for item in items if item not in skipped]
    config.hook.pytest_deselected(items=skipped)
