"""The bridges' door."""

import json
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from sessions_app.models import Message, Session
from sessions_app.services import api_keys, messages
from tests.api.client import problem

PATH = "/internal/bridge/events"
SECRET = {"Authorization": f"Bearer {settings.WHATSAPP_SECRET}"}


def post(body: Any, headers: dict[str, str] | None = None, content_type: str = "application/json") -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Client().generic("POST", PATH, raw, content_type=content_type, headers=headers or {})


def batch(*events: Any) -> dict[str, Any]:
    return {"bridge": "b1", "events": list(events)}


def test_it_applies_a_batch(session: Session) -> None:
    message = messages.enqueue(session=session, to="+4915112345678", body="hi").message
    Message.objects.update(status="sending", attempts=1)
    event = {
        "id": "e1",
        "seq": 1,
        "session": str(session.pk),
        "term": 1,
        "type": "message.receipt",
        "at": "2026-01-01T12:00:00.000Z",
        "data": {"id": message.wa_id, "address": "1@lid", "status": "delivered"},
    }
    answer = post(batch(event, "nonsense"), SECRET)
    assert answer.status_code == 200
    assert {name: count for name, count in answer.json().items() if count} == {"applied": 1, "invalid": 1}
    message.refresh_from_db()
    assert message.status == "delivered"


@pytest.mark.parametrize("headers", [SECRET, {"X-API-Key": settings.WHATSAPP_SECRET}])
def test_the_secret_in_either_header_opens(db: None, headers: dict[str, str]) -> None:
    assert post(batch(), headers).status_code == 200


def test_the_secret_in_the_body_opens(db: None) -> None:
    assert post({**batch(), "secret": settings.WHATSAPP_SECRET}).status_code == 200


def test_only_a_bridge_may_send_much(db: None) -> None:
    """Who shows no secret in a header has a body of any other request's size read, to look for it there."""
    large = {**batch(*["x" * 4_000] * 100), "secret": settings.WHATSAPP_SECRET}
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        problem(post(large, headers), 413, "body_too_large")
    assert post(large, SECRET).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer Ω"}]
)
@pytest.mark.parametrize("body", [batch(), {**batch(), "secret": "wrong"}, {**batch(), "secret": 7}, [], b'"\\ud800"'])
def test_anything_else_is_refused(db: None, headers: dict[str, str], body: Any) -> None:
    problem(post(body, headers), 401, "unauthenticated")


def test_a_wrong_header_is_not_mended_by_the_body(db: None) -> None:
    problem(post({**batch(), "secret": settings.WHATSAPP_SECRET}, {"X-API-Key": "wrong"}), 401, "unauthenticated")


def test_an_api_key_does_not_open_it(session: Session) -> None:
    _, key = api_keys.issue(restaurant=session.restaurant, name="till")
    problem(post(batch(), {"Authorization": f"Bearer {key}"}), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        ([], 400, "invalid_request"),
        ({"bridge": "b1"}, 422, "invalid"),
        ({"events": []}, 422, "invalid"),
        ({"bridge": "x" * 65, "events": []}, 422, "invalid"),
        ({"bridge": "b1", "events": {}}, 422, "invalid"),
        (batch(*[{}] * 201), 422, "invalid"),
    ],
)
def test_a_batch_that_is_none_is_refused(db: None, body: Any, status: int, code: str) -> None:
    problem(post(body, SECRET), status, code)


def test_a_large_batch_is_taken(session: Session) -> None:
    """Customers write long texts: the API's limit for bodies does not hold here."""
    events = [
        {
            "id": str(number),
            "session": str(session.pk),
            "type": "message.received",
            "at": "2026-01-01T12:00:00Z",
            "data": {"id": f"A{number}", "chat": "c", "sender": "s", "kind": "text", "text": "x" * 60_000}
            | {"sent_at": "2026-01-01T12:00:00Z"},
        }
        for number in range(20)
    ]
    assert post(batch(*events), SECRET).json()["applied"] == 20


def test_it_takes_posts_only(db: None) -> None:
    problem(Client(headers=SECRET).get(PATH), 405, "method_not_allowed")


def test_nothing_else_lives_there(db: None) -> None:
    problem(Client().get("/internal/nope"), 404, "not_found")
