"""What Prometheus reads, and who may."""

import math

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from sessions_app.models import Message, Restaurant, Session
from sessions_app.services import sweeps
from tests.api.client import problem
from tests.api.test_health import worker
from tests.support.owning import ago, queued

TOKEN = "k7Wq9-xN2vB5_mZ8cR4tY6uP1oL3jH0g"
P = "restaurant_wa_"


@pytest.fixture(autouse=True)
def token(settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN


def scraped() -> str:
    answer = Client(headers={"Authorization": f"Bearer {TOKEN}"}).get("/metrics")
    assert answer.status_code == 200 and answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.content.decode()


def gauges() -> dict[str, float]:
    """Each sample, as Prometheus would write it: `name{label}`."""
    found = {}
    for family in text_string_to_metric_families(scraped()):
        assert family.type == "gauge" and family.documentation and family.name.startswith(P), family.name
        for sample in family.samples:
            labels = "".join(f"{{{value}}}" for value in sample.labels.values())
            found[sample.name.removeprefix(P) + labels] = sample.value
    return found


def test_without_a_token_of_its_own_there_is_no_such_address(settings: Settings) -> None:
    settings.METRICS_TOKEN = ""
    for shown in ("", "Bearer ", f"Bearer {TOKEN}"):
        assert Client(headers={"Authorization": shown}).get("/metrics").status_code == 404, shown


@pytest.mark.parametrize("shown", ["", "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Basic {TOKEN}", "Bearer Ω"])
def test_whoever_does_not_show_it_is_refused(shown: str) -> None:
    """Without the `db` fixture any query would fail."""
    answer = Client(headers={"Authorization": shown}).get("/metrics")
    problem(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer") and TOKEN not in answer.content.decode()


def test_it_needs_no_proxy(db: None, settings: Settings) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert scraped()


def test_it_only_reads(db: None) -> None:
    client = Client(headers={"Authorization": f"Bearer {TOKEN}"}, enforce_csrf_checks=True)
    assert client.head("/metrics").status_code == 200
    assert client.post("/metrics").status_code == 405


def test_an_installation_with_nothing_in_it_has_every_gauge(db: None) -> None:
    found = gauges()
    states = {f"sessions{{{state}}}" for state in Session.State.values}
    lanes = {f"messages_queued{{{lane}}}" for lane in ("warm", "cold", "new")}
    up = {"database_up", "redis_up"}
    assert set(found) == states | lanes | up | {
        "workers_alive",
        "workers_ready",
        "workers_draining",
        "sweep_age_seconds",
        "messages_scheduled",
        "messages_sending",
        "messages_uncertain",
        "oldest_due_message_age_seconds",
        "webhook_deliveries_waiting",
        "oldest_webhook_delivery_age_seconds",
    }
    assert [found[name] for name in up] == [1, 1] and found["sweep_age_seconds"] == math.inf
    assert not any(value for name, value in found.items() if name not in up | {"sweep_age_seconds"})


def test_it_tells_what_waits_and_how_things_are(session: Session) -> None:
    worker("a"), worker("b", ready=False), worker("c", draining=True), worker("d", alive=False)
    Session.objects.update(state="connected")
    sweeps.note(sweeps.WAKE_DUE)
    for lane in (Message.Lane.COLD, Message.Lane.NEW, Message.Lane.NEW):
        queued(session, lane=lane, not_before=ago(seconds=90))
    for status in ("scheduled", "sending", "uncertain", "read"):
        queued(session, status=status, not_before=ago(seconds=-90))
    found = gauges()
    assert [found[f"messages_queued{{{lane}}}"] for lane in ("warm", "cold", "new")] == [0, 1, 2]
    assert [found[f"messages_{status}"] for status in ("scheduled", "sending", "uncertain")] == [1, 1, 1]
    assert [found[f"workers_{what}"] for what in ("alive", "ready", "draining")] == [3, 1, 1]
    assert found["sessions{connected}"] == 1 and found["sessions{blocked}"] == 0
    assert 90 <= found["oldest_due_message_age_seconds"] < 100 and 0 <= found["sweep_age_seconds"] < 10


def test_it_names_nobody(session: Session, restaurant: Restaurant) -> None:
    Session.objects.update(phone="+4915199999999", push_name="Luigi")
    message, text = queued(session), scraped()
    for known in (restaurant.name, session.name, "Luigi", "15199999999", message.to_phone[3:], str(restaurant.pk)):
        assert known not in text
