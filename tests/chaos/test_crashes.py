"""Workers and bridges that die, freeze and come and go under load."""

import os
import signal
from random import Random

import pytest

from tests.chaos.fleet import Fleet
from tests.chaos.lengths import frozen
from tests.support.fixtures import MakeStack
from tests.support.stack import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.chaos]
PACE = {"PACE_MIN_DELAY_MS": 20, "PACE_MAX_DELAY_MS": 150, "TYPING_MAX_MS": 20}
OTHERS = [f"session-{n}" for n in (2, 3, 4)]


@pytest.fixture(scope="module")
def fleet(make_module_stack: MakeStack) -> Fleet:
    return Fleet(make_module_stack(start=False, **PACE), workers=3).open()


def test_a_worker_is_killed(fleet: Fleet, dice: Random) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.4))
        fleet.kill(dice.choice(fleet.workers))


def test_a_bridge_is_killed(fleet: Fleet, dice: Random) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.4))
        os.kill(fleet.bridge(dice.choice(fleet.workers)).pid, signal.SIGKILL)


@pytest.mark.chaos(long=True)
def test_a_worker_and_its_bridge_are_killed_and_the_worker_comes_back(fleet: Fleet, dice: Random) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.4))
        worker = dice.choice(fleet.workers)
        fleet.kill(worker, bridges=True)
        fleet.stack.start(worker)


def test_all_workers_are_killed_at_once(fleet: Fleet, dice: Random) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.4))
        fleet.kill(*fleet.workers, bridges=dice.random() < 0.5)
        fleet.stack.start(*fleet.workers)


def test_a_worker_freezes_and_thaws(fleet: Fleet, dice: Random, frozen_s: float) -> None:
    """Its lease runs out while its bridge goes on; others take over and send all there is, and the zombie does no harm."""
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.3))
        worker = dice.choice(fleet.workers)
        lost = fleet.stack.log(worker).count("worker.lease_")
        with frozen(fleet.stack.pid(worker), seconds=frozen_s):
            pass
        eventually(lambda: fleet.stack.log(worker).count("worker.lease_") > lost, what="the zombie to see what it is")


@pytest.mark.chaos(long=True)
def test_a_worker_freezes_with_its_bridge(fleet: Fleet, dice: Random, frozen_s: float) -> None:
    """Thawed in the middle, the bridge finds the socket replaced and its keys fenced."""
    with fleet.traffic(dice, messages=60) as traffic:
        traffic.reach(dice.uniform(0.1, 0.3))
        worker = dice.choice(fleet.workers)
        with frozen(fleet.stack.pid(worker), fleet.bridge(worker).pid, seconds=frozen_s):
            eventually(lambda: not fleet.owned(worker), what="the take-over")


@pytest.mark.chaos(long=True)
def test_a_rolling_restart(fleet: Fleet, dice: Random) -> None:
    with fleet.traffic(dice, messages=60) as traffic:
        traffic.reach(0.1)
        for worker in fleet.workers:
            assert fleet.stack.stop(worker) < 10
            fleet.stack.start(worker)


@pytest.mark.chaos(long=True)
def test_from_one_worker_to_four_and_back(fleet: Fleet, dice: Random) -> None:
    with fleet.traffic(dice, messages=60) as traffic:
        fleet.stack.stop(*(worker for worker in fleet.workers if worker != "session-1"))
        traffic.reach(0.1)
        fleet.stack.start(*OTHERS)
        traffic.reach(0.5)
        for worker in OTHERS:
            assert fleet.stack.stop(worker) < 10
