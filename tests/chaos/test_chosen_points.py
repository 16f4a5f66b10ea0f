"""Workers and bridges killed at the points where what is known and what is true come apart."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from random import Random

import psycopg
import pytest

from tests.chaos.fleet import Fleet
from tests.chaos.lines import Line
from tests.support.fixtures import MakeStack
from tests.support.stack import Stack, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.chaos(long=True)]
PACE = {"PACE_MIN_DELAY_MS": 20, "PACE_MAX_DELAY_MS": 150, "TYPING_MAX_MS": 20}
BLOCKED = "%s = ANY(pg_blocking_pids(pid))"
BOTH = pytest.mark.parametrize("bridges", [False, True], ids=["worker", "worker and bridge"])


@pytest.fixture(scope="module")
def fleet(make_module_stack: MakeStack) -> Fleet:
    return Fleet(make_module_stack(start=False, **PACE), workers=3).open()


def test_after_the_claim_and_before_the_wire(fleet: Fleet, dice: Random) -> None:
    """The frozen bridge takes the request and does nothing with it."""
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.3))
        worker = dice.choice(fleet.workers)
        os.kill(fleet.bridge(worker).pid, signal.SIGSTOP)
        handed_over = """SELECT 1 FROM message m JOIN wa_session s ON s.id = m.session_id JOIN worker w ON w.id = s.owner_id
                         WHERE m.status = 'sending' AND w.name LIKE %s AND m.status_at < clock_timestamp() - interval '0.5 s'"""
        eventually(lambda: fleet.stack.sql(handed_over, f"{worker}@%"), what="a message handed over")
        fleet.kill(worker, bridges=True)


@pytest.mark.parametrize(
    "fault",
    [
        {"on": "message", "do": {"action": "drop"}},
        {"on": "ack", "do": {"action": "drop"}},
        {"on": "ack", "do": {"action": "terminate", "moment": "after"}},
    ],
    ids=["before the server has it", "after the server has it", "as the ack comes"],
)
@BOTH
def test_on_the_wire(fleet: Fleet, dice: Random, fault: dict[str, object], bridges: bool) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.4))
        line = dice.choice(fleet.lines)
        worker = fleet.owner(line)
        _strike(fleet, line, fault, every=0.005)
        fleet.kill(worker, bridges=bridges)


@BOTH
def test_after_the_ack_and_before_the_settlement(fleet: Fleet, dice: Random, bridges: bool) -> None:
    """The frozen worker never hears of the ack that its bridge has got; nor does a receipt tell of it."""
    line = dice.choice(fleet.lines)
    with _without_receipts(fleet, line), fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.4))
        worker = fleet.owner(line)
        _strike(fleet, line, {"on": "ack", "do": {"action": "delay", "ms": 1_000}})
        acked = _counted(fleet, line, "acks")
        os.kill(fleet.stack.pid(worker), signal.SIGSTOP)
        eventually(lambda: _counted(fleet, line, "acks") > acked, what="the ack")
        assert _under_way(fleet.stack, line) & set(fleet.shown(line, traffic.name)), "acked, shown, and not settled"
        fleet.kill(worker, bridges=bridges)


@pytest.mark.parametrize("receipts", [False, True], ids=["unconfirmed", "confirmed by a receipt"])
def test_between_the_wire_and_the_commit_of_the_keys(fleet: Fleet, dice: Random, receipts: bool) -> None:
    """The phone has read it under a key that the database still holds as unused: were anything but that very message sent under
    it next, the phone would drop that and nobody would hear of it (`old_counters`). A receipt leaves no resend to be the next."""
    line = dice.choice(fleet.lines)
    with nullcontext() if receipts else _without_receipts(fleet, line), fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.4))
        worker = fleet.owner(line)
        with _keys_held(fleet.stack, line) as held:
            eventually(lambda: _waiting(fleet.stack, held), what="the commit of the keys to hang")
            eventually(lambda: _last(fleet.stack, line) in fleet.shown(line, traffic.name), what="the phone to show it")
            fleet.kill(worker, bridges=True)
            fleet.stack.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {BLOCKED}", held)


# --- Helpers


def _strike(fleet: Fleet, line: Line, fault: dict[str, object], *, every: float = 0.02) -> None:
    """Until the fault has struck the next message of the line."""
    struck = fleet.stack.network.get("/api/stats")["faults"]
    fleet.stack.network.post("/api/faults", {"account": line.number, "times": 1, **fault})
    eventually(lambda: fleet.stack.network.get("/api/stats")["faults"] > struck, every=every, what="the fault to strike")


def _counted(fleet: Fleet, line: Line, counter: str) -> int:
    return int(fleet.stack.network.get("/api/stats")["accounts"][line.number].get(counter, 0))


def _last(stack: Stack, line: Line) -> str:
    """The message that was handed over last."""
    query = "SELECT body FROM message WHERE session_id = %s AND sending_at IS NOT NULL ORDER BY sending_at DESC LIMIT 1"
    return str(stack.sql(query, line.session)[0]["body"])


def _under_way(stack: Stack, line: Line) -> set[str]:
    return {
        row["body"] for row in stack.sql("SELECT body FROM message WHERE session_id = %s AND status = 'sending'", line.session)
    }


@contextmanager
def _without_receipts(fleet: Fleet, line: Line) -> Iterator[None]:
    phone = f"/api/phones/{line.customer}"
    fleet.stack.network.patch(phone, {"settings": {"delivery_receipts": False}})
    yield
    fleet.stack.network.patch(phone, {"settings": {"delivery_receipts": True}})


@contextmanager
def _keys_held(stack: Stack, line: Line) -> Iterator[int]:
    """Nobody can change the session's Signal keys, so that a commit of them hangs; everything else goes on. Gives the backend."""
    with psycopg.connect(stack.database, connect_timeout=5) as connection:
        connection.execute("SELECT 1 FROM bridge_key WHERE session_id = %s AND kind = 'session' FOR UPDATE", [line.session])
        yield connection.info.backend_pid
        connection.rollback()


def _waiting(stack: Stack, holder: int) -> bool:
    return bool(stack.sql(f"SELECT 1 FROM pg_stat_activity WHERE {BLOCKED}", holder))
