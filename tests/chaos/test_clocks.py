"""Clocks that somebody sets by a minute, under load: PostgreSQL's, and those of a worker and its bridge."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.chaos.fleet import Fleet
from tests.support.clocks import SetClock, faketime
from tests.support.fixtures import MakeStack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.long,
    pytest.mark.chaos,
    pytest.mark.skipif(faketime() is None, reason="NO FAKETIME: no clock could be set"),
]
PACE = {"PACE_MIN_DELAY_MS": 50, "PACE_MAX_DELAY_MS": 250, "TYPING_MAX_MS": 20}
LONG = pytest.mark.chaos(long=True)
BACK = pytest.param(-60, id="back", marks=LONG)  # what was drawn before waits a minute longer
STEP = pytest.mark.parametrize("step", [pytest.param(60, id="forward"), BACK])
BY_THE_CLOCK = "session-1"  # the worker whose clock can be set, and its bridge's


class Clocks:
    def __init__(self, directory: Path) -> None:
        self.database = SetClock(directory / "database")
        self.worker = SetClock(directory / "worker")


@pytest.fixture(scope="module")
def clocks_and_fleet(make_module_stack: MakeStack) -> Iterator[tuple[Clocks, Fleet]]:
    with tempfile.TemporaryDirectory(prefix="restaurant-wa-clocks-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # PostgreSQL's unprivileged user reads there
        clocks = Clocks(directory)
        stack = make_module_stack(start=False, own_postgres=True, database_clock=clocks.database, **PACE)
        node = clocks.worker.wrap(stack.site.env["NODE_BINARY"], directory / "node")
        stack.configure(BY_THE_CLOCK, **clocks.worker.environment, NODE_BINARY=node)
        fleet = Fleet(stack, workers=2)
        fleet.clock_is_set = True
        yield clocks, fleet.open()
        stack.close()


@pytest.fixture
def clocks(clocks_and_fleet: tuple[Clocks, Fleet]) -> Clocks:
    return clocks_and_fleet[0]


@pytest.fixture
def fleet(clocks_and_fleet: tuple[Clocks, Fleet]) -> Fleet:
    return clocks_and_fleet[1]


@STEP
def test_the_database_s_clock_is_set(fleet: Fleet, clocks: Clocks, dice: Random, step: int) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.4))
        clocks.database.step(step)
        traffic.goes_on(50, silence=90)


@LONG
@STEP
def test_a_worker_s_and_its_bridge_s_clock_is_set(fleet: Fleet, clocks: Clocks, dice: Random, step: int) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.4))
        clocks.worker.step(step)
        traffic.reach(1)


@LONG
@STEP
def test_all_workers_die_as_the_database_s_clock_is_set(fleet: Fleet, clocks: Clocks, dice: Random, step: int) -> None:
    """Each takes its own sessions back, although it seems to have claimed them in a time to come."""
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.4))
        clocks.database.step(step)
        fleet.kill(*fleet.workers, bridges=True)
        fleet.stack.start(*fleet.workers)
        traffic.goes_on(50, silence=90)
