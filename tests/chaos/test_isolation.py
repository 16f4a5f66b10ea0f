"""One session that takes its whole bridge down, and a bridge whose worker stands still: real parts, under load."""

import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from restaurant_wa.local.places import BRIDGE_DIR
from sessions_app.policy.quarantine import YOUNG_S
from tests.chaos.fleet import Fleet
from tests.chaos.lines import Line
from tests.chaos.traffic import DONE, Traffic
from tests.support.fixtures import MakeStack
from tests.support.stack import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.chaos]
PACE = {"PACE_MIN_DELAY_MS": 50, "PACE_MAX_DELAY_MS": 250, "TYPING_MAX_MS": 20}
WORKERS, SESSIONS = 2, 12


class Poison:
    """What some sessions do to their bridge when they log in; read by `node_bridge/test/support/poison.js` inside it."""

    def __init__(self, fleet: Fleet, orders: Path) -> None:
        self._fleet = fleet
        self._orders = orders

    def give(self, line: Line, how: str) -> None:
        lid = self._fleet.stack.sql("SELECT lid FROM wa_session WHERE id = %s", line.session)[0]["lid"]
        self._orders.write_text(json.dumps({lid.partition("@")[0]: how}))

    def take_away(self) -> None:
        self._orders.write_text("{}")


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("poison") / "orders.json"


@pytest.fixture(scope="module")
def fleet(make_module_stack: MakeStack, orders: Path) -> Fleet:
    stack = make_module_stack(start=False, **PACE)
    poison = (BRIDGE_DIR / "test" / "support" / "poison.js").as_uri()
    for n in range(WORKERS):
        stack.configure(f"session-{n + 1}", NODE_OPTIONS=f"--import={poison}?orders={orders} --max-old-space-size=200")
    return Fleet(stack, workers=WORKERS, sessions=SESSIONS).open()


@pytest.fixture
def poison(fleet: Fleet, orders: Path) -> Poison:
    return Poison(fleet, orders)


def restart(fleet: Fleet, line: Line) -> None:
    """As a person wishes it."""
    fleet.stack.sql("UPDATE wa_session SET restart_wish = restart_wish + 1 WHERE id = %s", line.session)


def old_logins(fleet: Fleet) -> bool:
    """Nobody has logged in of late: a death is held against the one that then does."""
    young = "SELECT 1 FROM wa_session WHERE connected_at > clock_timestamp() - make_interval(secs => %s)"
    return not fleet.stack.sql(young, YOUNG_S)


def kept_apart(fleet: Fleet) -> list[UUID]:
    return [row["id"] for row in fleet.stack.sql("SELECT id FROM wa_session WHERE state_reason = 'quarantined'")]


def others_left(fleet: Fleet, traffic: Traffic, sick: Line) -> int:
    """Messages of the others that have not been sent."""
    query = "SELECT count(*) AS n FROM message WHERE reference = %s AND session_id <> %s AND NOT status = ANY(%s)"
    return int(fleet.stack.sql(query, traffic.name, sick.session, list(DONE))[0]["n"])


HOW = [
    pytest.param("kill", True, id="alone"),
    pytest.param("kill", False, marks=pytest.mark.chaos(long=True), id="among others that log in as well"),
    pytest.param("allocate", True, marks=pytest.mark.chaos(long=True), id="out of memory"),
    pytest.param("block", True, marks=pytest.mark.chaos(long=True), id="hangs"),
    pytest.param("throw in a timer", True, marks=pytest.mark.chaos(long=True), id="throws"),
]


@pytest.mark.parametrize(("how", "alone"), HOW)
def test_a_session_that_takes_its_bridge_down_is_kept_apart_and_the_others_lose_nothing(
    fleet: Fleet, poison: Poison, dice: Random, how: str, alone: bool
) -> None:
    """A person then cures and restarts it, and its own messages arrive as well: `traffic` looks at all of them."""
    fleet.repair()
    if alone:
        eventually(lambda: old_logins(fleet), timeout=90, what="all logins to be over for a while")
    sick = dice.choice(fleet.lines)
    with fleet.traffic(dice, messages=60, silence=120) as traffic:
        traffic.reach(0.05)
        poison.give(sick, how)
        if not alone:
            for owner in fleet.workers:
                os.kill(fleet.bridge(owner).pid, signal.SIGKILL)
        restart(fleet, sick)
        eventually(lambda: sick.session in kept_apart(fleet), timeout=240, what="the quarantine")
        eventually(lambda: not others_left(fleet, traffic, sick), timeout=180, what="the others' messages")
        assert kept_apart(fleet) == [sick.session]
        said = fleet.stack.sql("SELECT state, state_detail, retry_at FROM wa_session WHERE id = %s", sick.session)[0]
        assert (said["state"], said["retry_at"]) == ("blocked", None)
        assert "kept apart" in said["state_detail"]
        poison.take_away()
        restart(fleet, sick)


def test_the_bridge_of_a_worker_that_stands_still_lets_go_before_anybody_else_claims(fleet: Fleet, dice: Random) -> None:
    held_by = "SELECT s.id FROM wa_session s JOIN worker w ON w.id = s.owner_id WHERE w.name LIKE %s"
    with fleet.traffic(dice) as traffic:
        traffic.reach(0.1)
        worker = dice.choice(fleet.workers)
        held = {row["id"] for row in fleet.stack.sql(held_by, f"{worker}@%")}
        seen, frozen_at = len(fleet.stack.log(worker)), datetime.now(UTC)
        os.kill(fleet.stack.pid(worker), signal.SIGSTOP)
        try:
            eventually(lambda: not fleet.stack.sql(held_by, f"{worker}@%"), what="the take-over")
        finally:
            os.kill(fleet.stack.pid(worker), signal.SIGCONT)
        eventually(lambda: held <= let_go(fleet, worker, seen).keys(), what="the bridge's own words, which wait for its worker")
    claims = "SELECT min(at) AS at FROM wa_session_event WHERE kind = 'claimed' AND session_id = ANY(%s) AND at > %s"
    first_claim = fleet.stack.sql(claims, list(held), frozen_at)[0]["at"]
    assert max(let_go(fleet, worker, seen).values()) < first_claim


def let_go(fleet: Fleet, worker: str, seen: int) -> dict[UUID, datetime]:
    """When its bridge closed each session because the lease had run out, from that place in the log on."""
    lines = [line for line in fleet.stack.log(worker)[seen:].splitlines() if "lease_ran_out" in line and "session closed" in line]
    return {UUID(said["session"]): datetime.fromisoformat(said["timestamp"]) for said in map(json.loads, lines)}
