"""What the restaurant's own program is told, with everything real between it and the WhatsApp network."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.fixtures import MakeStack
from tests.support.http import Json
from tests.support.lines import Line, new_key
from tests.support.receiver import Call, Receiver
from tests.support.stack import Stack, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.long]
QUICK = {"PACE_MIN_DELAY_MS": 20, "PACE_MAX_DELAY_MS": 60, "TYPING_MAX_MS": 10, "WEBHOOK_PRIVATE_ADDRESSES": "true"}


@pytest.fixture(scope="module")
def stack(make_module_stack: MakeStack) -> Stack:
    return make_module_stack(**QUICK)


@pytest.fixture
def api(stack: Stack) -> Json:
    return new_key(stack)


@pytest.fixture
def webhook(api: Json, receiver: Receiver) -> dict[str, Any]:
    """As the API has answered, with its secret."""
    made: dict[str, Any] = api.post("/api/v1/webhooks", {"url": receiver.url})
    return made


@pytest.fixture
def line(stack: Stack, api: Json, webhook: dict[str, Any]) -> Iterator[Line]:
    line = Line.make(stack, api).link()
    stack.network.patch(f"/api/phones/{quote(line.customer)}", {"settings": {"read_receipts": "auto", "read_delay_ms": 100}})
    yield line
    line.let_go()


def test_it_is_told_the_whole_story_once_and_signed(line: Line, receiver: Receiver, webhook: dict[str, Any]) -> None:
    orders = [line.send(f"Order {n}") for n in range(5)]
    line.greet()
    until = _time_lock(line)
    for order in orders:
        line.until_message(order, "read")
    line.fault("login", action="failure", code=402, attrs={"code": "101", "expire": "3600"})
    line.cut()

    def all_told() -> bool:
        whole = all(sorted(_statuses(receiver, order)) == ["delivered", "read", "sent"] for order in orders)
        return whole and ("blocked", "banned_temporarily") in _states(receiver) and _told(receiver, "message.received") != []

    eventually(all_told, what="the whole story", timeout=30)
    assert all(call.is_signed_with(webhook["secret"]) for call in receiver.calls)
    assert len({call.id for call in receiver.calls}) == len(receiver.calls)
    [reply] = _told(receiver, "message.received")
    assert (reply["sender_phone"], reply["text"]) == (line.customer, "hello")
    [restriction] = _told(receiver, "session.restriction_changed")
    assert (restriction["active"], restriction["phone"]) == (True, line.number)
    assert datetime.fromisoformat(restriction["until"]) == until
    assert _states(receiver)[0] == ("connected", "")


def test_a_worker_that_dies_in_the_middle_of_a_call_makes_it_again(
    line: Line, receiver: Receiver, webhook: dict[str, Any], stack: Stack
) -> None:
    """Under the same id: the other side has heard it already, and can tell."""
    eventually(lambda: receiver.calls, what="that it is connected")
    called, released = threading.Event(), threading.Event()

    def hang(_: Call) -> int:
        called.set()
        released.wait(60)
        return 204

    receiver.answer = hang
    line.sent(line.send("Order"))
    assert called.wait(30)
    stack.kill("default")
    heard = {call.id for call in receiver.calls}
    receiver.answer = lambda _: 204
    released.set()
    stack.sql("UPDATE webhook_delivery SET next_attempt_at = clock_timestamp() WHERE state = 'pending'")  # their lease has ended
    stack.start("default")
    pending = f"/api/v1/webhooks/{webhook['id']}/deliveries?state=pending"
    eventually(lambda: line.api.get(pending)["items"] == [], what="all to be told", timeout=30)
    twice = [call.id for call in receiver.calls if call.id in heard]
    assert len(twice) > len(heard)
    assert len({call.body for call in receiver.calls}) == len({call.id for call in receiver.calls})


def _time_lock(line: Line) -> datetime:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    lock = {"active": True, "until": until.isoformat(), "enforce": True}
    line.stack.network.post(f"/api/accounts/{quote(line.number)}/restrictions", {"timelock": lock, "push": True})
    eventually(lambda: line.row["standing"].get("time_lock", {}).get("active"), what="the time-lock to be noted")
    return until


def _told(receiver: Receiver, topic: str) -> list[dict[str, Any]]:
    return [call.told["data"] for call in receiver.calls if call.told["type"] == topic]


def _statuses(receiver: Receiver, order: str) -> list[str]:
    return [call.told["data"]["status"] for call in receiver.calls if call.told["data"].get("message_id") == order]


def _states(receiver: Receiver) -> list[tuple[str, str]]:
    return [(told["state"], told["reason"]) for told in _told(receiver, "session.state_changed")]
