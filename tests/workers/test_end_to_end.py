"""A session worker with its real bridge against the simulated network: link, drain, release, crash, log out."""

from typing import Any
from uuid import uuid4

import pytest

from tests.support.fixtures import MakeStack
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

    assert stack.stop("session-1") < 10
    row = _session(stack, session)
    assert (row["state"], row["owner_id"]) == ("disconnected", None)
    assert stack.sql("SELECT bridge_ready, expires_at <= now() AS gone FROM worker") == [{"bridge_ready": False, "gone": True}]

    _enqueue(stack, session, "after the restart")
    stack.start("session-1")
    eventually(lambda: _shown(stack)[5:] == ["after the restart"], what="the message after the restart")
    assert _session(stack, session)["term"] == row["term"] + 1
    assert stack.network.get("/api/stats")["pairings"] == 1


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


def test_a_log_out_on_the_phone_is_said_and_the_queue_waits(make_stack: MakeStack) -> None:
    stack = _stack(make_stack)
    session = _linked_session(stack)
    device = stack.network.get(f"/api/phones/{RESTAURANT}")["devices"][0]["device"]
    stack.network.delete(f"/api/phones/{RESTAURANT}/devices/{device}")
    eventually(lambda: _session(stack, session)["state"] == "logged_out", what="logged out")
    _enqueue(stack, session, "waits")
    row = eventually(lambda: (found := _session(stack, session))["owner_id"] is None and found, what="the session to be released")
    assert row["linked_at"] is None
    assert row["state_reason"] == "logged_out"
    assert _statuses(stack) == {"queued"}

    _link(stack, session)
    eventually(lambda: _shown(stack) == ["waits"], what="the message that waited")


# --- Helpers


def _stack(make_stack: MakeStack) -> Stack:
    stack = make_stack(start=False, PACE_MIN_DELAY_MS=50, PACE_MAX_DELAY_MS=200, TYPING_MAX_MS=50)
    stack.start("simulator", "session-1")
    for number in (RESTAURANT, CUSTOMER):
        stack.network.post("/api/phones", {"number": number})
    return stack


def _linked_session(stack: Stack) -> str:
    restaurant, session = uuid4(), uuid4()
    stack.sql(
        "INSERT INTO restaurant (id, name, time_zone, default_region, resend_uncertain, is_active, created_at, updated_at)"
        " VALUES (%s, 'Luigi', 'UTC', 'DE', true, true, now(), now())",
        restaurant,
    )
    stack.sql(
        "INSERT INTO wa_session (id, restaurant_id, name, created_at, updated_at, desired, link_phone, restart_wish, restart_done, state,"
        " state_reason, state_detail, failures, phone, lid, push_name, qr, pairing_code, term, next_delay_ms)"
        " VALUES (%s, %s, 'front', now(), now(), 'online', '', 0, 0, 'unlinked', '', '', 0, '', '', '', '', '', 0, 0)",
        session,
        restaurant,
    )
    _link(stack, str(session))
    return str(session)


def _link(stack: Stack, session: str) -> None:
    stack.sql("UPDATE wa_session SET link_until = now() + interval '5 minutes' WHERE id = %s", session)
    code = eventually(lambda: _session(stack, session)["qr"], what="a QR code")
    stack.network.post(f"/api/phones/{RESTAURANT}/scan", {"qr": code})
    eventually(lambda: _session(stack, session)["state"] == "connected", what="the session to be connected")


def _enqueue(stack: Stack, session: str, text: str) -> None:
    stack.sql(
        "INSERT INTO message (id, restaurant_id, session_id, to_phone, body, priority, reference, created_at, not_before, status, status_at,"
        " hold_reason, error_code, error_detail, wa_id, address, attempts)"
        " SELECT %s, restaurant_id, id, %s, %s, 2, '', now(), now(), 'queued', now(), '', '', '', %s, '', 0 FROM wa_session WHERE id = %s",
        uuid4(),
        CUSTOMER,
        text,
        "3EB0" + uuid4().hex[:18].upper(),
        session,
    )


def _session(stack: Stack, session: str) -> dict[str, Any]:
    return stack.sql("SELECT * FROM wa_session WHERE id = %s", session)[0]


def _statuses(stack: Stack) -> set[str]:
    return {row["status"] for row in stack.sql("SELECT DISTINCT status FROM message")}


def _shown(stack: Stack) -> list[str]:
    messages = stack.network.get(f"/api/phones/{CUSTOMER}/shown")["messages"]
    return [message["text"] for message in messages]
