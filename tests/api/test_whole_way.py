"""An ordering system's whole way, by the API alone, on real parts: link, send, hear back, log out."""

import uuid
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.fixtures import MakeStack
from tests.support.http import Json
from tests.support.stack import Stack, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.long]
NUMBER, CUSTOMER = "+4915112340001", "+4915112340002"
MAKE_KEY = """
from sessions_app.models import Restaurant
from sessions_app.services import api_keys
print("key:" + api_keys.issue(restaurant=Restaurant.objects.create(name="R", default_region="DE"), name="till")[1])
"""


def test_link_send_hear_back_and_log_out(make_stack: MakeStack) -> None:
    stack = make_stack(workers=1, PACE_MIN_DELAY_MS=50, PACE_MAX_DELAY_MS=100)
    for number in (NUMBER, CUSTOMER):
        stack.network.post("/api/phones", {"number": number, "settings": {"read_receipts": "auto", "read_delay_ms": 50}})
    api = stack.api.with_key(stack.manage("shell", "-c", MAKE_KEY).partition("key:")[2].strip())
    session = api.post("/api/v1/sessions", {"name": "Till"})
    here = f"/api/v1/sessions/{session['id']}"

    link(stack, api, here)
    sent = [send(api, f"order {number}") for number in range(3)]
    for message in [when_read(api, one) for one in sent]:
        steps = [entry["status"] for entry in message["timeline"]]
        assert steps[:2] == ["queued", "sending"] and steps[-1] == "read" and "sent" in steps
        assert message["delay_ms"] is not None and message["position"] is None
    shown = stack.network.get(phone(CUSTOMER, "/shown"))["messages"]
    assert [(one["text"], one["copies"]) for one in shown] == [(f"order {number}", 1) for number in range(3)]

    stack.network.post(phone(CUSTOMER, "/messages"), {"to": NUMBER, "text": "grazie!"})
    heard = eventually(lambda: api.get("/api/v1/inbound")["items"], what="the customer's answer")
    assert [one["text"] for one in heard] == ["grazie!"]

    api.post(f"{here}/log-out")
    eventually(lambda: not api.get(f"{here}/status")["linked"], what="the log-out")
    assert stack.network.get(phone(NUMBER))["devices"] == []
    assert send(api, "later")["status"] == "queued", "it waits for the next number"


def phone(number: str, path: str = "") -> str:
    return f"/api/phones/{quote(number)}{path}"


def link(stack: Stack, api: Json, here: str) -> None:
    api.post(f"{here}/link", {"method": "qr"})
    eventually(lambda: api.get(f"{here}/status")["qr_available"], what="the QR code", timeout=30)
    stack.network.post(phone(NUMBER, "/scan"), {"qr": api.get(f"{here}/qr")["qr"]})
    eventually(lambda: api.get(here)["state"] == "connected", what="the session to be connected", timeout=30)
    status = api.get(f"{here}/status")
    assert (status["phone"], status["has_worker"], status["qr_available"]) == (NUMBER, True, False)


def send(api: Json, text: str) -> dict[str, Any]:
    made: dict[str, Any] = api.post("/api/v1/messages", {"to": CUSTOMER, "text": text}, Idempotency_Key=str(uuid.uuid4()))
    return made


def when_read(api: Json, message: dict[str, Any]) -> dict[str, Any]:
    path = f"/api/v1/messages/{message['id']}"
    eventually(lambda: api.get(path)["status"] == "read", what="the message to be read", timeout=30)
    found: dict[str, Any] = api.get(path)
    return found
