"""Webhooks through the API: added with their secret, changed, tried out, looked at; nobody sees another's."""

from functools import partial
from typing import Any

import pytest

from sessions_app.models import Restaurant, Webhook, WebhookDelivery
from sessions_app.services import webhooks
from sessions_app.services.webhooks import CHOOSABLE, MOST
from tests.api.client import ApiClient, blamed, description, problem
from tests.api.conftest import MakeClient
from tests.support.threads import at_once

URL = "https://till.example/hook"
PATH = "/webhooks"


def made(client: ApiClient, **body: Any) -> dict[str, Any]:
    response = client.post(PATH, {"url": URL, **body})
    assert response.status_code == 201, response.content
    created: dict[str, Any] = response.json()
    assert response["Location"] == f"/api/v1{PATH}/{created['id']}"
    return created


def test_it_shows_its_secret_once(client: ApiClient) -> None:
    created = made(client)
    assert created["secret"].startswith("whsec_") and created["topics"] == [] and created["is_active"]
    read = client.get(f"{PATH}/{created['id']}").json()
    assert read == {name: value for name, value in created.items() if name != "secret"}
    assert client.get(PATH).json() == {"items": [read]}


def test_the_list_has_no_filters(client: ApiClient) -> None:
    assert blamed(client.get(PATH, query={"is_active": "false"})) == {"/is_active": "unknown_field"}


def test_it_may_be_told_a_choice_of_things(client: ApiClient) -> None:
    chosen = ["message.received", "message.failed"]
    assert made(client, topics=[*chosen, "message.failed"])["topics"] == chosen


@pytest.mark.parametrize(
    "body, pointer, code",
    [
        ({}, "/url", "required"),
        ({"url": "http://till.example/"}, "/url", "invalid_url"),
        ({"url": "https://127.0.0.1/"}, "/url", "invalid_url"),
        ({"url": "https://169.254.169.254/latest/meta-data"}, "/url", "invalid_url"),
        ({"url": URL, "topics": ["message.sending"]}, "/topics", "invalid_topic"),
        ({"url": URL, "topics": ["webhook.test"]}, "/topics", "invalid_topic"),
        ({"url": URL, "topics": "all"}, "/topics", "list_type"),
        ({"url": URL, "secret": "mine"}, "/secret", "unknown_field"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_stored(client: ApiClient, body: dict[str, Any], pointer: str, code: str) -> None:
    response = client.post(PATH, body)
    assert response.status_code == 422
    assert [(error["pointer"], error["code"]) for error in response.json()["errors"]] == [(pointer, code)]
    assert not Webhook.objects.exists()


def test_there_is_a_limit(client: ApiClient) -> None:
    for number in range(MOST):
        made(client, url=f"{URL}/{number}")
    problem(client.post(PATH, {"url": URL}), 409, "conflict")


def test_an_address_that_is_told_the_same_already_is_not_told_it_twice(client: ApiClient) -> None:
    """Whoever got no answer asks again, and is told whose secret to renew."""
    everything, some = made(client), made(client, topics=["message.read", "message.sent"])
    for known, topics in ((everything, []), (some, ["message.sent", "message.read"])):
        refused = problem(client.post(PATH, {"url": f" {URL} ", "topics": topics}), 409, "conflict")
        assert f"POST /webhooks/{known['id']}/secret" in refused["detail"]
    assert Webhook.objects.count() == 2
    made(client, topics=["message.sent"])
    client.patch(f"{PATH}/{everything['id']}", {"is_active": False})
    made(client)


def switched(client: ApiClient, webhook: dict[str, Any], **change: Any) -> Any:
    return client.patch(f"{PATH}/{webhook['id']}", change)


def test_no_change_makes_a_second_one_that_tells_the_same(client: ApiClient) -> None:
    known, other = made(client), made(client, url=f"{URL}/2")
    narrow = made(client, topics=["message.read"])
    for webhook, change in ((other, {"url": f" {URL}"}), (narrow, {"topics": []})):
        assert f"/webhooks/{known['id']}/secret" in problem(switched(client, webhook, **change), 409, "conflict")["detail"]
    assert switched(client, other, url=URL, topics=["message.sent"]).status_code == 200
    assert switched(client, known, url=URL, topics=[], is_active=True).status_code == 200


def test_one_that_is_off_is_not_switched_on_beside_what_has_taken_its_place(client: ApiClient) -> None:
    old = made(client)
    switched(client, old, is_active=False)
    new = made(client)
    assert f"/webhooks/{new['id']}/secret" in problem(switched(client, old, is_active=True), 409, "conflict")["detail"]
    assert switched(client, old, topics=["message.read"]).status_code == 200
    assert switched(client, old, is_active=True).status_code == 200


def test_another_restaurant_may_have_the_same_address(client: ApiClient, stranger: ApiClient) -> None:
    made(client), made(stranger)


@pytest.mark.django_db(transaction=True)
def test_of_any_number_of_requests_at_the_same_moment_one_makes_it(restaurant: Restaurant) -> None:
    answers = at_once(*[lambda: webhooks.create(restaurant=restaurant, url=URL)] * 4)
    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict"] * 3 + ["Webhook"]


@pytest.mark.django_db(transaction=True)
def test_of_changes_at_the_same_moment_one_gets_the_address(restaurant: Restaurant) -> None:
    several = [webhooks.create(restaurant=restaurant, url=f"{URL}/{number}") for number in range(4)]
    answers = at_once(*[partial(webhooks.change, webhook=one, url=URL) for one in several])
    assert sorted(type(answer).__name__ for answer in answers) == ["Conflict"] * 3 + ["Webhook"]


def test_what_is_left_out_of_a_change_stays(client: ApiClient) -> None:
    path = f"{PATH}/{made(client, topics=['message.read'])['id']}"
    assert client.patch(path, {"is_active": False}).json()["is_active"] is False
    changed = client.patch(path, {"url": "https://other.example/"}).json()
    assert (changed["url"], changed["topics"], changed["is_active"]) == ("https://other.example/", ["message.read"], False)
    assert client.patch(path, {"topics": []}).json()["topics"] == []
    assert client.patch(path, {"url": "nowhere"}).status_code == 422


@pytest.mark.parametrize("given", [0, 1, "off", "n", "true", []])
def test_what_is_no_truth_value_switches_nothing(client: ApiClient, given: object) -> None:
    answer = client.patch(f"{PATH}/{made(client)['id']}", {"is_active": given})
    assert answer.status_code == 422 and list(blamed(answer)) == ["/is_active"]
    assert Webhook.objects.get().is_active


def test_a_new_address_is_not_blamed_for_the_old_one(client: ApiClient) -> None:
    created = made(client)
    Webhook.objects.update(failures=9, failing_since="2026-05-04T12:00:00Z", last_error="Answered with 500.")
    changed = client.patch(f"{PATH}/{created['id']}", {"url": "https://other.example/"}).json()
    assert (changed["failing_since"], changed["last_error"]) == (None, "")


def test_a_new_secret_replaces_the_old_one(client: ApiClient) -> None:
    created = made(client)
    renewed = client.post(f"{PATH}/{created['id']}/secret").json()
    assert renewed["secret"] != created["secret"]
    assert webhooks.secrets_of(Webhook.objects.get()) == [renewed["secret"], created["secret"]]


def test_a_test_is_a_delivery_that_can_be_looked_at(client: ApiClient) -> None:
    path = f"{PATH}/{made(client)['id']}"
    response = client.post(f"{path}/test")
    assert response.status_code == 202
    delivery = response.json()
    assert (delivery["type"], delivery["state"], delivery["attempts"]) == ("webhook.test", "pending", 0)
    assert delivery["next_attempt_at"] == delivery["created_at"]
    assert client.get(f"{path}/deliveries").json()["items"] == [delivery]
    assert client.get(f"{path}/deliveries", query={"state": "failed"}).json()["items"] == []
    client.patch(path, {"is_active": False})
    assert client.post(f"{path}/test").status_code == 409


def test_deliveries_come_in_pages(client: ApiClient) -> None:
    path = f"{PATH}/{made(client)['id']}/deliveries"
    webhook = Webhook.objects.get()
    WebhookDelivery.objects.bulk_create([WebhookDelivery(webhook=webhook, topic="webhook.test") for _ in range(5)])
    first = client.get(path, query={"limit": 3}).json()
    second = client.get(path, query={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert second["next_cursor"] is None
    ids = [one["id"] for one in first["items"] + second["items"]]
    assert ids == [str(row.event_id) for row in WebhookDelivery.objects.order_by("-id")]
    assert client.get(path, query={"cursor": "i" + "0" * 32}).status_code == 422
    assert client.get(path, query={"status": "failed"}).status_code == 422


def test_a_deleted_one_is_gone_with_its_deliveries(client: ApiClient) -> None:
    path = f"{PATH}/{made(client)['id']}"
    client.post(f"{path}/test")
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404
    assert not WebhookDelivery.objects.exists()


def test_another_restaurants_webhook_does_not_exist(stranger: ApiClient, restaurant: Restaurant) -> None:
    webhook = webhooks.create(restaurant=restaurant, url=URL)
    path = f"{PATH}/{webhook.pk}"
    answers = [
        stranger.get(path),
        stranger.patch(path, {"is_active": False}),
        stranger.delete(path),
        stranger.post(f"{path}/secret"),
        stranger.post(f"{path}/test"),
        stranger.get(f"{path}/deliveries"),
    ]
    assert [answer.status_code for answer in answers] == [404] * 6
    assert stranger.get(PATH).json() == {"items": []}
    webhook.refresh_from_db()
    assert webhook.is_active and webhooks.secrets_of(webhook) == [webhook.secret]


def test_it_needs_scopes_of_its_own(client_with: MakeClient, restaurant: Restaurant) -> None:
    webhook = webhooks.create(restaurant=restaurant, url=URL)
    reader, other = client_with("webhooks:read"), client_with("messages:read", "messages:write", "sessions:write")
    assert reader.get(f"{PATH}/{webhook.pk}").status_code == 200
    assert reader.post(PATH, {"url": URL}).status_code == 403
    assert reader.post(f"{PATH}/{webhook.pk}/secret").status_code == 403
    assert other.get(PATH).status_code == 403


def test_every_topic_but_the_test_can_be_chosen(client: ApiClient) -> None:
    assert made(client, topics=list(CHOOSABLE))["topics"] == list(CHOOSABLE)
    assert set(Webhook.Topic.values) - set(CHOOSABLE) == {"webhook.test"}


def test_an_address_in_other_letters_is_kept_as_name_servers_know_it(client: ApiClient) -> None:
    assert made(client, url="https://Bäckerei.example:8443/hook?a=1")["url"] == "https://xn--bckerei-5wa.example:8443/hook?a=1"
    assert client.post(PATH, {"url": "https://bäckerei.example:8443/hook?a=1"}).status_code == 409


def test_the_description_says_that_a_change_may_be_refused() -> None:
    assert "409" in description()["paths"]["/api/v1/webhooks/{webhook_id}"]["patch"]["responses"]


def test_the_description_names_the_topics_that_can_be_chosen() -> None:
    schemas = description()["components"]["schemas"]
    sent, changed, shown = (schemas[name]["properties"] for name in ("WebhookIn", "WebhookChange", "WebhookOut"))
    assert sent["topics"]["items"]["enum"] == changed["topics"]["anyOf"][0]["items"]["enum"] == list(CHOOSABLE)
    assert sent["url"]["format"] == changed["url"]["anyOf"][0]["format"] == shown["url"]["format"] == "uri"
