"""Spools and disks that fill up while the web side is away: messages go on being sent, and nothing that came back is lost."""

from collections.abc import Iterator
from random import Random

import pytest

from tests.chaos.fleet import Fleet, each
from tests.chaos.lines import Line
from tests.chaos.traffic import Traffic
from tests.support.disks import SmallDisk, can_mount
from tests.support.fixtures import MakeStack
from tests.support.stack import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.long,
    pytest.mark.chaos,
    pytest.mark.skipif(not can_mount(), reason="NO SMALL DISK: mounting one takes root"),
]
PACE = {"PACE_MIN_DELAY_MS": 20, "PACE_MAX_DELAY_MS": 150, "TYPING_MAX_MS": 20}
LONG_WORDS = "lorem ipsum " * 5_000  # 60 kB
NO_ROOM = "no room for events"


@pytest.fixture(scope="module")
def disk_and_fleet(make_module_stack: MakeStack) -> Iterator[tuple[SmallDisk, Fleet]]:
    stack = make_module_stack(start=False, BRIDGE_SPOOL_MAX_MB=1, **PACE)
    with SmallDisk(stack.data / "spool", megabytes=4) as disk:
        yield disk, Fleet(stack, workers=2).open()
        stack.stop_all()


@pytest.fixture
def fleet(disk_and_fleet: tuple[SmallDisk, Fleet]) -> Fleet:
    return disk_and_fleet[1]


@pytest.fixture
def disk(disk_and_fleet: tuple[SmallDisk, Fleet]) -> Iterator[SmallDisk]:
    yield disk_and_fleet[0]
    disk_and_fleet[0].free()


def test_the_spools_are_full(fleet: Fleet, dice: Random, outage_s: float) -> None:
    """Of what customers write meanwhile, most has no room."""
    with fleet.traffic(dice, messages=60) as traffic:
        traffic.reach(dice.uniform(0.05, 0.1))
        before = _complaints(fleet)
        with traffic.without("web", seconds=outage_s):
            written = _customers_write(fleet, traffic, times=4)
            traffic.reach(1)
            assert all(_complaints(fleet)[worker] > before[worker] for worker in fleet.workers), "each says so, loudly"
        _everything_came_back(fleet, traffic, written)


@pytest.mark.chaos(long=True)
def test_the_disk_is_full(fleet: Fleet, disk: SmallDisk, dice: Random, outage_s: float) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.3))
        with traffic.without("web", seconds=outage_s):
            disk.fill()
            written = _customers_write(fleet, traffic, times=1)
            traffic.reach(1)
        disk.free()
        _everything_came_back(fleet, traffic, written)


@pytest.mark.chaos(long=True)
def test_workers_and_their_bridges_start_on_a_full_disk(fleet: Fleet, disk: SmallDisk, dice: Random, outage_s: float) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.3))
        with traffic.without("web", seconds=outage_s):
            disk.fill()
            fleet.kill(*fleet.workers, bridges=True)
            fleet.stack.start(*fleet.workers)
            written = _customers_write(fleet, traffic, times=1)
            traffic.reach(1)
        disk.free()
        _everything_came_back(fleet, traffic, written)


def _customers_write(fleet: Fleet, traffic: Traffic, *, times: int) -> set[str]:
    """Each so many long messages; their ids."""
    ids: set[str] = set()

    def write(line: Line) -> None:
        for _ in range(times):
            body = {"to": line.number, "text": f"an answer: {LONG_WORDS}"}
            ids.add(fleet.stack.network.post(f"/api/phones/{line.customer}/messages", body)["id"])

    each(write, fleet.lines)
    return ids


def _everything_came_back(fleet: Fleet, traffic: Traffic, written: set[str]) -> None:
    """Every receipt, and every customer's message once."""
    undelivered = "SELECT body, status FROM message WHERE reference = %s AND NOT status = ANY('{delivered,read}') LIMIT 3"
    eventually(lambda: not fleet.stack.sql(undelivered, traffic.name), timeout=150, what="every receipt")
    received = "SELECT wa_id FROM inbound_message WHERE wa_id = ANY(%s)"
    eventually(
        lambda: len(fleet.stack.sql(received, list(written))) >= len(written), timeout=120, what="every customer's message"
    )
    assert sorted(row["wa_id"] for row in fleet.stack.sql(received, list(written))) == sorted(written)


def _complaints(fleet: Fleet) -> dict[str, int]:
    return {worker: fleet.stack.log(worker).count(NO_ROOM) for worker in fleet.workers}
