import re
import uuid
from datetime import timedelta
from types import SimpleNamespace

import pytest
import structlog
from django.test import Client
from django.utils import timezone
from pytest_django import Settings
from structlog.testing import capture_logs

from sessions_app.api import auth
from sessions_app.models import ApiKey, Message, Restaurant, Session
from sessions_app.services import api_keys, counters
from tests.api.client import ApiClient, description, problem
from tests.api.conftest import MakeClient

ROUTES = [
    ("POST", "/messages", "messages:write"),
    ("GET", "/messages", "messages:read"),
    ("GET", "/messages/{id}", "messages:read"),
    ("POST", "/messages/{id}/cancel", "messages:write"),
    ("POST", "/messages/{id}/confirm", "messages:write"),
    ("POST", "/messages/{id}/send-again", "messages:write"),
    ("GET", "/inbound", "messages:read"),
    ("POST", "/sessions", "sessions:write"),
    ("GET", "/sessions", "sessions:read"),
    ("GET", "/sessions/{id}", "sessions:read"),
    ("GET", "/sessions/{id}/status", "sessions:read"),
    ("GET", "/sessions/{id}/limits", "sessions:read"),
    ("GET", "/sessions/{id}/qr", "sessions:write"),
    ("POST", "/sessions/{id}/link", "sessions:write"),
    ("POST", "/sessions/{id}/restart", "sessions:write"),
    ("POST", "/sessions/{id}/stop", "sessions:write"),
    ("POST", "/sessions/{id}/start", "sessions:write"),
    ("POST", "/sessions/{id}/log-out", "sessions:write"),
    ("DELETE", "/sessions/{id}", "sessions:write"),
    ("POST", "/webhooks", "webhooks:write"),
    ("GET", "/webhooks", "webhooks:read"),
    ("GET", "/webhooks/{id}", "webhooks:read"),
    ("PATCH", "/webhooks/{id}", "webhooks:write"),
    ("DELETE", "/webhooks/{id}", "webhooks:write"),
    ("POST", "/webhooks/{id}/secret", "webhooks:write"),
    ("POST", "/webhooks/{id}/test", "webhooks:write"),
    ("GET", "/webhooks/{id}/deliveries", "webhooks:read"),
]
OPEN = {("GET", "/health")}
GOOD = b'{"to": "+4915112345678", "text": "hi", "name": "x", "method": "qr", "url": "https://till.example/hook"}'


@pytest.fixture(autouse=True)
def fresh_loggers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A logger that was used before keeps its processors; capture_logs needs one that asks for them."""
    monkeypatch.setattr(auth, "log", structlog.get_logger("test"))


@pytest.mark.parametrize(("method", "path", "scope"), ROUTES)
def test_every_route_needs_a_key_with_its_scope(client_with: MakeClient, method: str, path: str, scope: str) -> None:
    path = path.format(id=uuid.uuid4())
    answer = ApiClient().send(method, path, raw=GOOD)
    problem(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    others = [other for other in api_keys.ALL_SCOPES if other != scope]
    problem(client_with(*others).send(method, path, raw=GOOD), 403, "insufficient_scope")
    assert client_with(scope).send(method, path, raw=GOOD).status_code not in (401, 403)


def test_no_other_route_is_described() -> None:
    described = {
        (method.upper(), re.sub(r"\{\w+\}", "{id}", path.removeprefix("/api/v1")))
        for path, methods in description()["paths"].items()
        for method in methods
    }
    assert described - OPEN == {(method, path) for method, path, _ in ROUTES}


def test_either_header_opens(restaurant: Restaurant) -> None:
    _, key = api_keys.issue(restaurant=restaurant, name="till")
    for headers in ({"Authorization": f"Bearer {key}"}, {"Authorization": f"bearer  {key}"}, {"X-API-Key": key}):
        assert Client(headers=headers).get("/api/v1/sessions").status_code == 200, headers


@pytest.mark.parametrize("key", ["x", "rwa_abcdefgh_" + "A" * 43, "Ω"])
def test_a_wrong_key_is_refused(db: None, key: str) -> None:
    problem(ApiClient(key).get("/sessions"), 401, "unauthenticated")


def test_a_revoked_or_expired_key_stores_nothing(client: ApiClient, session: Session) -> None:
    body = {"to": "+4915112345678", "text": "hi"}
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    problem(client.post("/messages", body), 401, "unauthenticated")
    ApiKey.objects.update(expires_at=None)
    api_keys.revoke(key=ApiKey.objects.get())
    problem(client.post("/messages", body), 401, "unauthenticated")
    assert not Message.objects.exists()


def test_a_refusal_is_logged_with_prefix_address_and_route_but_not_the_key(restaurant: Restaurant) -> None:
    key, plain = api_keys.issue(restaurant=restaurant, name="till")
    forged = plain[:-4] + "AAAA"
    with capture_logs() as logs:
        ApiClient(forged).get("/messages")
        ApiClient("Secret-of-somebody").get("/messages")
    first, second = [line for line in logs if line["event"] == "api.unauthorised"]
    assert (first["key_prefix"], first["address"], first["reason"]) == (key.prefix, "127.0.0.1", "invalid")
    assert first["route"].endswith("messages") and first["log_level"] == "warning"
    assert second["today"] == first["today"] + 1 > 1, "counted"
    assert plain[13:-4] not in str(logs) and "Secret-of-somebody" not in str(logs)


def test_a_key_beyond_its_limit_is_told_when_to_come_back(
    client: ApiClient, stranger: ApiClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.API_REQUESTS_PER_MINUTE = 3
    monkeypatch.setattr(counters, "time", SimpleNamespace(time=lambda: 1_800_000_015.5))  # it counts by the minute of the clock
    assert [client.get("/sessions").status_code for _ in range(4)] == [200, 200, 200, 429]
    answer = client.get("/sessions")
    problem(answer, 429, "rate_limited")
    assert answer.headers["Retry-After"] == "45"
    assert stranger.get("/sessions").status_code == 200, "each key has its own"


def test_zero_is_no_limit(client: ApiClient, settings: Settings) -> None:
    settings.API_REQUESTS_PER_MINUTE = 0
    assert {client.get("/sessions").status_code for _ in range(5)} == {200}


def test_counters_end_by_themselves() -> None:
    name = f"api:test:{uuid.uuid4()}"
    assert [counters._count(name, keep_s=100) for _ in range(2)] == [1, 2]
    assert 0 < int(str(counters._client.ttl(name))) <= 100


def test_a_restaurant_that_is_switched_off_is_answered_and_its_messages_wait(
    client: ApiClient, restaurant: Restaurant, session: Session
) -> None:
    Restaurant.objects.filter(pk=restaurant.pk).update(is_active=False)
    answer = client.post("/messages", {"to": "+4915112345678", "text": "hi"})
    assert answer.status_code == 202 and answer.json()["hold_reason"] == "restaurant_off"
    assert client.get("/messages").status_code == 200
