"""A session worker with its real bridge against the simulated network: link, drain, release, crash, log out."""

import os
import signal
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import redis
from celery import Celery

from tests.support.fixtures import MakeStack
from tests.support.proxy import Proxy
from tests.support.stack import Stack, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.long]
RESTAURANT = "+4915112345678"
CUSTOMER = "+4915187654321"


def test_it_links_drains_releases_on_sigterm_and_comes_back_without_a_code(make_stack: MakeStack) -> None:
    stack = _stack(make_stack)
    session = _linked_session(stack)
    for n in range(5):
        _enqueue(stack, session, f"order {n}")
    eventually(lambda: _shown(stack) == [f"order {n}" for n in range(5)], what="five messages on the phone")
    eventually(lambda: _statuses(stack) <= {"sent", "delivered", "read"}, what="five messages settled")

    _wake(stack, session)
    assert stack.stop("session-1") < 10
    row = _session(stack, session)
    assert (row["state"], row["owner_id"]) == ("disconnected", None)
    assert stack.sql("SELECT bridge_ready, expires_at <= now() AS gone FROM worker") == [{"bridge_ready": False, "gone": True}]

    _enqueue(stack, session, "after the restart")
    stack.start("session-1")
    eventually(lambda: _shown(stack)[5:] == ["after the restart"], what="the message after the restart")
    assert _session(stack, session)["term"] == row["term"] + 1
    assert stack.network.get("/api/stats")["pairings"] == 1


def test_it_releases_on_sigterm_although_redis_is_silent(make_stack: MakeStack) -> None:
    """Celery waits half a minute for Redis before it stops anything."""
    stack = _stack(make_stack, start=False)
    broker = stack.site.env["REDIS_URL"]
    with Proxy(urlsplit(broker).port or 0) as cable:
        stack.configure("session-1", REDIS_URL=cable.instead_of(broker))
        _start(stack)
        session = _linked_session(stack)
        cable.silence()
        os.kill(stack.pid("session-1"), signal.SIGTERM)
        eventually(lambda: _session(stack, session)["owner_id"] is None, timeout=10, what="its release")
        stack.kill("session-1")


def test_a_killed_workers_session_is_taken_over_and_nothing_is_shown_twice(make_stack: MakeStack) -> None:
    stack = _stack(make_stack)
    session = _linked_session(stack)
    texts = [f"message {n}" for n in range(12)]
    for text in texts:
        _enqueue(stack, session, text)
    eventually(lambda: len(_shown(stack)) >= 2, what="the first messages")
    stack.start("session-2", wait=False)
    stack.kill("session-1")
    eventually(lambda: _shown(stack) == texts, what="all messages, once and in order", timeout=40)
    eventually(lambda: _statuses(stack) <= {"sent", "delivered", "read"}, what="all settled")
    assert _session(stack, session)["term"] > 1


def test_a_worker_that_freezes_and_thaws_does_no_harm(make_stack: MakeStack) -> None:
    stack = _stack(make_stack)
    session = _linked_session(stack)
    stack.start("session-2")
    texts = [f"message {n}" for n in range(15)]
    for text in texts[:10]:
        _enqueue(stack, session, text)
    eventually(lambda: len(_shown(stack)) >= 2, what="the first messages")
    os.kill(stack.pid("session-1"), signal.SIGSTOP)
    eventually(lambda: _session(stack, session)["term"] == 2, what="the take-over", timeout=15)
    eventually(lambda: _shown(stack) == texts[:10], what="the first ten, once and in order", timeout=40)
    os.kill(stack.pid("session-1"), signal.SIGCONT)
    eventually(lambda: "worker.lease_" in stack.log("session-1"), what="the thawed worker to see that it lost its lease")
    for text in texts[10:]:
        _enqueue(stack, session, text)
    eventually(lambda: _shown(stack) == texts, what="all messages, once and in order", timeout=40)
    eventually(lambda: _statuses(stack) <= {"sent", "delivered", "read"}, what="all settled")
    assert _session(stack, session)["term"] == 2


def test_a_log_out_on_the_phone_is_said_and_the_queue_waits(make_stack: MakeStack) -> None:
    stack = _stack(make_stack)
    session = _linked_session(stack)
    device = stack.network.get(f"/api/phones/{RESTAURANT}")["devices"][0]["device"]
    stack.network.delete(f"/api/phones/{RESTAURANT}/devices/{device}")
    eventually(lambda: _session(stack, session)["state"] == "logged_out", what="logged out")
    _enqueue(stack, session, "waits")
    eventually(lambda: _session(stack, session)["owner_id"] is None, what="the session to be released")
    row = _session(stack, session)
    assert row["linked_at"] is None
    assert row["state_reason"] == "logged_out"
    assert _statuses(stack) == {"queued"}

    _link(stack, session)
    eventually(lambda: _shown(stack) == ["waits"], what="the message that waited")


def test_after_an_earlier_state_was_restored_nothing_goes_under_used_keys(make_stack: MakeStack) -> None:
    stack = _stack(make_stack)
    session = _linked_session(stack)
    _enqueue(stack, session, "before the dump")
    eventually(lambda: _statuses(stack) == {"sent"}, what="it to be sent")
    stack.stop("session-1")
    stack.sql("CREATE TABLE dumped AS SELECT name, data FROM bridge_key WHERE kind = 'session'")
    stack.start("session-1")
    for n in range(3):
        _enqueue(stack, session, f"since {n}")
    eventually(lambda: len(_shown(stack)) == 4, what="what was sent since")
    with pytest.raises(AssertionError, match="Stop all workers first"):
        stack.manage("after_restore")

    stack.stop("session-1")
    stack.sql("UPDATE bridge_key k SET data = d.data FROM dumped d WHERE k.kind = 'session' AND k.name = d.name")
    assert "encryption sessions are forgotten" in stack.manage("after_restore")
    stack.start("session-1")
    for n in range(3):
        _enqueue(stack, session, f"after {n}")
    eventually(lambda: _shown(stack)[4:] == [f"after {n}" for n in range(3)], what="what was sent after the restore")
    assert stack.network.get("/api/stats")["old_counters"] == 0


# --- Helpers


def _stack(make_stack: MakeStack, *, start: bool = True) -> Stack:
    stack = make_stack(start=False, PACE_MIN_DELAY_MS=50, PACE_MAX_DELAY_MS=200, TYPING_MAX_MS=50)
    if start:
        _start(stack)
    return stack


def _start(stack: Stack) -> None:
    stack.start("simulator", "session-1")
    for number in (RESTAURANT, CUSTOMER):
        stack.network.post("/api/phones", {"number": number})


def _linked_session(stack: Stack) -> str:
    restaurant, session = uuid4(), uuid4()
    _insert(
        stack,
        "restaurant",
        id=restaurant,
        name="Luigi",
        time_zone="UTC",
        default_region="DE",
        resend_uncertain=True,
        is_active=True,
    )
    blank = dict.fromkeys(("link_phone", "state_reason", "state_detail", "phone", "lid", "push_name", "qr", "pairing_code"), "")
    zero = dict.fromkeys(("restart_wish", "restart_done", "failures", "term", "next_delay_ms"), 0)
    wishes = {"desired": "online", "state": "unlinked"}
    _insert(stack, "wa_session", id=session, restaurant_id=restaurant, name="front", **wishes, **blank, **zero)
    _link(stack, str(session))
    return str(session)


def _link(stack: Stack, session: str) -> None:
    stack.sql("UPDATE wa_session SET link_until = now() + interval '5 minutes' WHERE id = %s", session)
    code = eventually(lambda: _session(stack, session)["qr"], what="a QR code")
    stack.network.post(f"/api/phones/{RESTAURANT}/scan", {"qr": code})
    eventually(lambda: _session(stack, session)["state"] == "connected", what="the session to be connected")


def _enqueue(stack: Stack, session: str, text: str) -> None:
    now = datetime.now(UTC)
    blank = dict.fromkeys(("reference", "hold_reason", "error_code", "error_detail", "address"), "")
    owner = {"session_id": session, "restaurant_id": _session(stack, session)["restaurant_id"]}
    sent = {"id": uuid4(), "to_phone": CUSTOMER, "body": text, "wa_id": "3EB0" + uuid4().hex[:18].upper()}
    state = {"status": "queued", "status_at": now, "not_before": now, "priority": 2, "attempts": 0}
    _insert(stack, "message", **owner, **sent, **state, **blank)


def _insert(stack: Stack, table: str, **values: object) -> None:
    """A row as the web side writes it, which these tests do without."""
    if table != "message":
        values["updated_at"] = datetime.now(UTC)
    values["created_at"] = datetime.now(UTC)
    names, places = ", ".join(values), ", ".join(["%s"] * len(values))
    stack.sql(f"INSERT INTO {table} ({names}) VALUES ({places})", *values.values())


def _wake(stack: Stack, session: str) -> None:
    """As the web side does: by name, on the owner's own queue."""
    queue = stack.sql("SELECT queue FROM worker WHERE name ~ '^session-1@'")[0]["queue"]
    publisher = Celery("test", broker=stack.site.env["REDIS_URL"], set_as_current=False)
    publisher.send_task("workers.wake", args=[[session]], queue=queue, ignore_result=True)
    valkey = redis.Redis.from_url(stack.site.env["REDIS_URL"])
    eventually(lambda: valkey.llen(queue) == 0, what="the wake-up to be taken")
    assert "Traceback" not in stack.log("session-1")


def _session(stack: Stack, session: str) -> dict[str, Any]:
    return stack.sql("SELECT * FROM wa_session WHERE id = %s", session)[0]


def _statuses(stack: Stack) -> set[str]:
    return {row["status"] for row in stack.sql("SELECT DISTINCT status FROM message")}


def _shown(stack: Stack) -> list[str]:
    messages = stack.network.get(f"/api/phones/{CUSTOMER}/shown")["messages"]
    return [message["text"] for message in messages]
