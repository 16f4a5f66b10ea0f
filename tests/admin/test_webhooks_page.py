"""Webhooks in the admin: added with a form, their secret shown once, tried out, switched off; and only by managers."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from sessions_app.admin.webhooks import VERBS, webhook_badge
from sessions_app.models import Webhook, WebhookDelivery
from sessions_app.services import deliveries, messages, webhooks
from tests.admin.conftest import House
from tests.admin.test_tenancy import page, text_of

URL = "https://orders.example/hook"


def add(client: Client, house: House, **form: Any) -> Any:
    return client.post(page("webhook", "add"), {"restaurant": house.restaurant.pk, "url": URL, **form})


def added() -> Webhook:
    return Webhook.objects.get(url=URL)


def do(client: Client, webhook: Webhook, verb: str) -> Any:
    return client.post(page("webhook", webhook.pk, "do", verb), follow=True)


def test_a_manager_adds_one_and_sees_its_secret_once(manager: Client, ours: House) -> None:
    answer = add(manager, ours, topics=["message.received", "message.failed"])
    assert added().secret in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert added().topics == ["message.received", "message.failed"]
    for path in (page("webhook"), page("webhook", added().pk, "change"), page("webhook", added().pk, "history")):
        assert added().secret not in text_of(manager, path)


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "http://orders.example/", "nowhere", ""])
def test_a_wrong_address_is_said_at_its_field(manager: Client, ours: House, url: str) -> None:
    answer = add(manager, ours, url=url)
    assert answer.status_code == 200 and "errorlist" in answer.content.decode()
    assert Webhook.objects.filter(restaurant=ours.restaurant).count() == 1


def test_address_and_topics_can_be_changed(manager: Client, ours: House) -> None:
    secret = ours.webhook.secret
    answer = manager.post(page("webhook", ours.webhook.pk, "change"), {"url": URL, "topics": ["message.read"]})
    assert answer.status_code == 302
    assert (added().pk, added().topics, added().secret) == (ours.webhook.pk, ["message.read"], secret)
    assert added().restaurant == ours.restaurant


def test_a_change_that_would_tell_an_address_twice_is_refused_in_words(manager: Client, ours: House) -> None:
    webhooks.create(restaurant=ours.restaurant, url=URL)
    answer = manager.post(page("webhook", ours.webhook.pk, "change"), {"url": URL}, follow=True)
    assert answer.status_code == 200 and "tells this address the same already" in answer.content.decode()
    assert Webhook.objects.filter(url=URL).count() == 1


def test_one_that_is_off_is_not_switched_on_beside_what_has_taken_its_place(manager: Client, ours: House) -> None:
    do(manager, ours.webhook, "switch-off")
    webhooks.create(restaurant=ours.restaurant, url=ours.webhook.url)
    assert "tells this address the same already" in do(manager, ours.webhook, "switch-on").content.decode()
    assert Webhook.objects.filter(is_active=True).count() == 1


def test_switched_on_it_is_told_at_once_what_had_waited_and_says_so(manager: Client, ours: House) -> None:
    later = timezone.now() + timedelta(hours=5)
    failed = WebhookDelivery.objects.create(webhook=ours.webhook, topic="message.read", attempts=3, next_attempt_at=later)
    do(manager, ours.webhook, "switch-off")
    messages.cancel(message=ours.message)
    said = do(manager, ours.webhook, "switch-on").content.decode()
    assert "What had waited goes at once; what happened while it was off is not told." in said
    assert [due.delivery for due in deliveries.take()] == [failed.pk]


def test_a_test_is_sent_and_shown(manager: Client, ours: House) -> None:
    do(manager, ours.webhook, "test")
    assert WebhookDelivery.objects.get().topic == "webhook.test"
    html = text_of(manager, page("webhook", ours.webhook.pk, "change"))
    assert "webhook.test" in html and "Waiting" in html


def test_a_new_secret_is_shown_once_after_asking(manager: Client, ours: House) -> None:
    old = ours.webhook.secret
    assert "24 hours" in text_of(manager, page("webhook", ours.webhook.pk, "do", "renew-secret"))
    answer = do(manager, ours.webhook, "renew-secret")
    ours.webhook.refresh_from_db()
    assert ours.webhook.secret != old and ours.webhook.secret in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]


def test_it_is_switched_off_and_on_and_deleted(manager: Client, ours: House) -> None:
    for verb, active in (("switch-off", False), ("switch-on", True)):
        do(manager, ours.webhook, verb)
        assert Webhook.objects.get().is_active is active
    do(manager, ours.webhook, "delete")
    assert not Webhook.objects.exists()


@pytest.mark.parametrize("verb", [verb.slug for verb in VERBS])
def test_a_viewer_and_a_stranger_can_do_none_of_it(viewer: Client, ours: House, theirs: House, verb: str) -> None:
    before = list(Webhook.objects.order_by("pk").values())
    assert viewer.post(page("webhook", ours.webhook.pk, "do", verb)).status_code == 403
    assert viewer.post(page("webhook", theirs.webhook.pk, "do", verb)).status_code == 404
    assert viewer.post(page("webhook", ours.webhook.pk, "change"), {"url": URL}).status_code == 403
    assert add(viewer, ours).status_code == 403
    assert list(Webhook.objects.order_by("pk").values()) == before


def test_what_is_wrong_is_said_on_its_page(manager: Client, ours: House) -> None:
    since = timezone.now() - timedelta(hours=3)
    Webhook.objects.update(failures=9, failing_since=since, last_error="Answered with 500.")
    WebhookDelivery.objects.create(webhook=ours.webhook, topic="message.read", attempts=2, error="Answered with 500.")
    html = text_of(manager, page("webhook", ours.webhook.pk, "change"))
    assert "Failing" in html and "Answered with 500." in html and "2 attempts" in html
    assert "Failing" in text_of(manager, page("webhook"))


def test_its_state_in_words(ours: House) -> None:
    webhook = ours.webhook
    assert webhook_badge(webhook).text == "Not called yet"
    webhook.last_success_at = timezone.now()
    assert webhook_badge(webhook).text == "Working"
    webhook.failing_since = timezone.now() - timedelta(hours=2)
    assert (webhook_badge(webhook).text, webhook_badge(webhook).hint[:8]) == ("Failing", "For 2 h;")
    webhooks.change(webhook=webhook, is_active=False)
    assert webhook_badge(webhook).text == "Switched off"
