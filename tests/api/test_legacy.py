"""The old routes: off by default, behind the same keys, with the same services behind them."""

import base64
import importlib
import json
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import structlog
from django.test import Client
from django.urls import clear_url_caches
from django.utils import timezone
from pytest_django import Settings
from structlog.testing import capture_logs

from restaurant_wa import urls
from sessions_app.api import auth
from sessions_app.models import ApiKey, Message, Restaurant, Session
from sessions_app.services import api_keys, sessions

ROUTES = [
    ("GET", "/qr/{id}", "sessions:write"),
    ("GET", "/session/{id}/status", "sessions:read"),
    ("DELETE", "/session/{id}", "sessions:write"),
    ("GET", "/sessions", "sessions:read"),
    ("POST", "/send", "messages:write"),
]
GOOD = {"to": "+4915112345678", "message": "hi"}
Ask = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(autouse=True)
def routes(settings: Settings) -> Iterator[None]:
    settings.LEGACY_ROUTES = True
    _read_urls()
    yield
    settings.LEGACY_ROUTES = False
    _read_urls()


def _read_urls() -> None:
    importlib.reload(urls)
    clear_url_caches()


@pytest.fixture
def key(restaurant: Restaurant) -> str:
    return api_keys.issue(restaurant=restaurant, name="till")[1]


@pytest.fixture
def ask(key: str) -> Ask:
    """Asks with the key as Bearer, unless told otherwise; answers status and JSON."""

    def ask(method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        client = Client(headers=headers or {"Authorization": f"Bearer {key}"}, raise_request_exception=False)
        answer = client.generic(method, path, raw, content_type="application/json")
        assert answer.headers["Content-Type"] == "application/json" and answer.headers["Cache-Control"] == "no-store"
        told: dict[str, Any] = json.loads(answer.content)
        assert told["success"] is (answer.status_code < 400)
        return answer.status_code, told

    return ask


def test_they_are_off_by_default(settings: Settings, key: str, session: Session) -> None:
    settings.LEGACY_ROUTES = False
    _read_urls()
    client = Client(headers={"Authorization": f"Bearer {key}"})
    for method, path, _ in ROUTES:
        assert client.generic(method, path.format(id=session.pk)).status_code == 404, path
    assert "success" not in client.get("/health").json()


def test_qr(ask: Ask, session: Session) -> None:
    status, told = ask("GET", f"/qr/{session.pk}")
    assert (status, told["code"]) == (404, "no_qr") and told["error"]
    now = timezone.now()
    Session.objects.update(state="linking", qr="2@abc", qr_generated_at=now, qr_expires_at=now + timedelta(hours=1))
    status, told = ask("GET", f"/qr/{session.pk}")
    assert status == 200 and told["qr"] == "2@abc" and base64.b64decode(told["image"]).startswith(b"\x89PNG")
    assert told["timestamp"][:19] == now.isoformat()[:19]
    assert told["expires_at"][:19] == (now + timedelta(minutes=5)).isoformat()[:19]


def test_status_and_the_active_sessions(ask: Ask, restaurant: Restaurant, session: Session) -> None:
    Session.objects.update(linked_at=timezone.now(), phone="+4915199999999", state="connected")
    sessions.create(restaurant=restaurant, name="not linked")
    told = ask("GET", f"/session/{session.pk}/status")[1]
    assert (told["status"], told["connected"], told["phone"]) == ("connected", True, "+4915199999999")
    told = ask("GET", "/sessions")[1]
    assert (told["count"], [one["sessionId"] for one in told["sessions"]]) == (1, [str(session.pk)])


def test_delete_logs_out_and_keeps_what_waits(ask: Ask, session: Session) -> None:
    Session.objects.update(linked_at=timezone.now(), state="connected")
    ask("POST", "/send", GOOD)
    assert ask("DELETE", f"/session/{session.pk}")[0] == 200
    session.refresh_from_db()
    assert (session.desired, session.deleted_at, Message.objects.get().status) == ("unlinked", None, "queued")
    assert session.events.filter(kind="log_out_requested", detail__by="API key till").exists()


def test_health_says_success_and_needs_no_key(db: None) -> None:
    told = Client().get("/health").json()
    assert told["success"] is True and told["database"] is True and "workers" in told
    assert Client(enforce_csrf_checks=True).post("/health").status_code == 405


@pytest.mark.parametrize("named", ["to", "phone"])
def test_send_answers_with_the_delay(ask: Ask, session: Session, named: str) -> None:
    in_7_s = timezone.now() + timedelta(seconds=7)
    Session.objects.update(linked_at=timezone.now(), state="connected", next_send_at=in_7_s)
    status, told = ask("POST", "/send", {named: "0151 12345678", "message": "hi", "something": "older"})
    assert status == 200 and 5_000 < told["delay"] <= 7_000
    message = Message.objects.get()
    assert (str(message.pk), message.to_phone, message.body) == (told["messageId"], "+4915112345678", "hi")


def test_while_nothing_can_be_sent_the_delay_is_unknown(ask: Ask, session: Session) -> None:
    assert ask("POST", "/send", GOOD)[1]["delay"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"message": "hi"}, "/to"),
        ({"to": "+4915112345678"}, "/message"),
        ({"to": "+49 1", "message": "hi"}, "/to"),
        ({"phone": "+49 1", "message": "hi"}, "/phone"),
        ({"to": "+4915112345678", "message": "x" * 4_001}, "/message"),
        ({"to": "+4915112345678", "message": " "}, "/message"),
        ({"to": 4915112345678, "message": "hi"}, "/to"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_stored(ask: Ask, session: Session, body: object, field: str) -> None:
    status, told = ask("POST", "/send", body)
    assert status == 422 and [error["pointer"] for error in told["errors"]] == [field]
    assert not Message.objects.exists()


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"[]", 400), (b'{"to": "' + b"1" * 300_000 + b'"}', 413)])
def test_bodies_that_cannot_be_read(ask: Ask, session: Session, body: bytes, status: int) -> None:
    assert ask("POST", "/send", body)[0] == status
    assert not Message.objects.exists()


@pytest.mark.parametrize("given", ["7", 7])
def test_a_restaurant_goes_by_its_old_id_too(ask: Ask, restaurant: Restaurant, session: Session, given: object) -> None:
    assert ask("GET", f"/session/{given}/status")[0] == 404
    Restaurant.objects.filter(pk=restaurant.pk).update(legacy_id="legacy:7")
    assert ask("GET", f"/session/{given}/status")[1]["sessionId"] == str(session.pk)
    for name in ("sessionId", "session_id", "restaurant_id"):
        assert ask("POST", "/send", {**GOOD, name: given})[1]["sessionId"] == str(session.pk)


def test_one_of_several_sessions_is_named_as_the_error_says(ask: Ask, restaurant: Restaurant, session: Session) -> None:
    Restaurant.objects.filter(pk=restaurant.pk).update(legacy_id="legacy:7")
    sessions.create(restaurant=restaurant, name="second")
    for named in ({}, {"restaurant_id": 7}):
        status, told = ask("POST", "/send", {**GOOD, **named})
        assert (status, told["code"], told["errors"][0]["pointer"]) == (422, "session_required", "/session_id")
        assert ask("POST", "/send", {**GOOD, **named, "session_id": str(session.pk)})[1]["sessionId"] == str(session.pk)


@pytest.mark.parametrize(("method", "path"), [("GET", "/qr/7"), ("GET", "/session/7/status"), ("DELETE", "/session/7")])
def test_an_old_id_in_an_address_has_to_lead_to_one_session(
    ask: Ask, restaurant: Restaurant, session: Session, method: str, path: str
) -> None:
    Restaurant.objects.filter(pk=restaurant.pk).update(legacy_id="legacy:7")
    sessions.create(restaurant=restaurant, name="second")
    status, told = ask(method, path)
    assert (status, told["code"]) == (404, "not_found") and "own id" in told["error"] and "session_id" not in told["error"]


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_each_needs_a_key_with_its_scope(ask: Ask, restaurant: Restaurant, method: str, path: str, scope: str) -> None:
    path = path.format(id=uuid.uuid4())
    assert ask(method, path, GOOD, X_Nothing="")[0] == 401
    others = [other for other in api_keys.ALL_SCOPES if other != scope]
    lacking = api_keys.issue(restaurant=restaurant, name="lacking", scopes=others)[1]
    assert ask(method, path, GOOD, Authorization=f"Bearer {lacking}")[0] == 403
    having = api_keys.issue(restaurant=restaurant, name="having", scopes=[scope])[1]
    assert ask(method, path, GOOD, Authorization=f"Bearer {having}")[0] not in (401, 403)


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_the_key_may_come_in_a_header_or_in_the_body_but_not_in_the_address(
    ask: Ask, key: str, session: Session, method: str, path: str, scope: str
) -> None:
    path = path.format(id=session.pk)
    seen = {
        "X-API-Key": ask(method, path, GOOD, **{"X-API-Key": key})[0],
        "body": ask(method, path, {**GOOD, "secret": key}, X_Nothing="")[0],
    }
    assert 401 not in seen.values()
    assert ask(method, f"{path}?secret={key}", GOOD, X_Nothing="")[0] == 401
    for wrong in ("nonsense", 7, None):
        assert ask(method, path, {**GOOD, "secret": wrong}, X_Nothing="")[0] == 401


def test_a_refused_secret_is_logged_without_it(
    ask: Ask, restaurant: Restaurant, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "log", structlog.get_logger("test"))
    forged = key[:-4] + "AAAA"
    with capture_logs() as logs:
        ask("POST", "/send", {**GOOD, "secret": forged}, X_Nothing="")
    (line,) = [line for line in logs if line["event"] == "api.unauthorised"]
    assert (line["key_prefix"], line["route"], line["reason"]) == (ApiKey.objects.get().prefix, "send", "invalid")
    assert key[13:-4] not in str(logs)


def test_another_restaurants_session_does_not_exist(ask: Ask, restaurant: Restaurant, session: Session) -> None:
    Restaurant.objects.update(legacy_id="legacy:7")
    other = Restaurant.objects.create(name="Stranger", default_region="DE")
    theirs = {"Authorization": f"Bearer {api_keys.issue(restaurant=other, name='theirs')[1]}"}
    for given in (session.pk, 7):
        for method, path in (("GET", "/qr/{}"), ("GET", "/session/{}/status"), ("DELETE", "/session/{}")):
            assert ask(method, path.format(given), None, **theirs)[0] == 404
    assert ask("POST", "/send", {**GOOD, "sessionId": str(session.pk)}, **theirs)[0] == 404
    assert ask("GET", "/sessions", None, **theirs)[1]["count"] == 0


def test_the_wrong_method_is_told_the_right_one(key: str, session: Session) -> None:
    answer = Client(headers={"X-API-Key": key}).post(f"/session/{session.pk}")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "DELETE")
    assert json.loads(answer.content)["success"] is False
