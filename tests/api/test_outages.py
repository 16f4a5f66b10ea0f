"""The real web process without Redis, with a Redis that hangs, and without PostgreSQL."""

import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.fixtures import MakeStack
from tests.support.http import HttpError, Json
from tests.support.stack import Stack, eventually

pytestmark = [pytest.mark.e2e]
TOKEN = "k7Wq9-xN2vB5_mZ8cR4tY6uP1oL3jH0g"
BODY = {"to": "+4915112345678", "text": "hi"}
RECEIPT = {"id": "1", "session": "0197a2b4-0000-7000-8000-000000000000", "type": "message.receipt", "at": "2026-01-01T00:00:00Z"}
BATCH = {"bridge": "b", "events": [{**RECEIPT, "data": {"id": "x", "status": "read"}}]}
ISSUE = """
from sessions_app.models import Restaurant, Session, Worker
from sessions_app.services import api_keys, sessions
from datetime import timedelta
from django.utils import timezone
restaurant = Restaurant.objects.create(name="R", default_region="DE")
session = sessions.create(restaurant=restaurant, name="main")
now = timezone.now()
session.owner = Worker.objects.create(name="w", queue="worker.w", capacity=1, started_at=now, heartbeat_at=now,
                                      expires_at=now + timedelta(hours=1))
session.save()
print("key:" + api_keys.issue(restaurant=restaurant, name="till")[1])
"""


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        yield server.getsockname()[1]


def caller(stack: Stack) -> Json:
    """With a key for a session that has a living owner, whom an accepted message would wake."""
    key = stack.manage("shell", "-c", ISSUE).partition("key:")[2].strip()
    return stack.api.with_key(key)


def took(api: Json, path: str, body: object) -> float:
    started = time.monotonic()
    assert api.post(path, body)["status"] == "queued"
    return time.monotonic() - started


def test_without_redis_messages_are_accepted_quickly(make_stack: MakeStack) -> None:
    stack = make_stack(start=False, METRICS_TOKEN=TOKEN)
    stack.start("web")
    api = caller(stack)
    took(api, "/api/v1/messages", BODY)
    stack.stop("valkey")
    assert max(took(api, "/api/v1/messages", BODY) for _ in range(5)) < 1.0
    assert api.get("/health")["redis"] is False
    assert api.get("/readyz")["status"] == "ok"
    assert "restaurant_wa_redis_up 0.0" in stack.api.with_key(TOKEN).get("/metrics")
    assert len(stack.sql("SELECT id FROM message")) == 6


def test_a_redis_that_hangs_costs_one_request_a_moment_and_the_others_nothing(make_stack: MakeStack, silent_port: int) -> None:
    stack = make_stack(start=False, REDIS_URL=f"redis://127.0.0.1:{silent_port}/0")
    stack.start("web")
    api = caller(stack)
    times = sorted(took(api, "/api/v1/messages", BODY) for _ in range(6))
    assert times[-1] < 1.5 and times[-2] < 0.4, times  # who waits for it waits for 0.4 s


def test_without_postgres_it_says_so_and_comes_back_by_itself(make_stack: MakeStack) -> None:
    stack = make_stack(start=False, own_postgres=True, METRICS_TOKEN=TOKEN)
    stack.start("web")
    api = caller(stack)
    took(api, "/api/v1/messages", BODY)
    stack.stop("postgres")
    bridge = stack.api.with_key(stack.site.env["WHATSAPP_SECRET"])
    for sender, path, body in ((api, "/api/v1/messages", BODY), (bridge, "/internal/bridge/events", BATCH)):
        with pytest.raises(HttpError) as refused:
            sender.post(path, body)
        assert (refused.value.status, refused.value.body["code"]) == (503, "database_unavailable"), path
    for path in ("/readyz", "/health"):
        with pytest.raises(HttpError) as unready:
            api.get(path)
        assert unready.value.status == 503 and unready.value.body["database"] is False
    with pytest.raises(HttpError) as scraped:
        stack.api.with_key(TOKEN).get("/metrics")
    assert scraped.value.status == 503
    assert "restaurant_wa_database_up 0.0" in scraped.value.body and "restaurant_wa_redis_up 1.0" in scraped.value.body
    assert "messages" not in scraped.value.body
    assert api.get("/livez")["status"] == "ok"
    stack.start("postgres")
    eventually(lambda: took(api, "/api/v1/messages", BODY), what="messages to be accepted again")
    assert len(stack.sql("SELECT id FROM message")) == 2
