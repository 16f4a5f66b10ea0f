"""Calls to webhooks: signed, side by side, and never into the installation's own network unless that is allowed."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery.signals import worker_shutting_down
from django.db import connection
from django.utils import timezone

from sessions_app.models import Restaurant, Webhook, WebhookDelivery
from sessions_app.policy import addresses
from sessions_app.services import deliveries, webhooks
from tests.support.owning import ago
from tests.support.receiver import Call, Receiver, receiving
from workers import tasks
from workers import webhooks as round_of_calls
from workers.webhooks import deliver

State = WebhookDelivery.Outcome


@pytest.fixture
def restaurant(transactional_db: None, settings: Any) -> Restaurant:
    settings.WEBHOOK_PRIVATE_ADDRESSES = True
    return Restaurant.objects.create(name="Trattoria", default_region="DE")


@pytest.fixture
def webhook(restaurant: Restaurant, receiver: Receiver) -> Webhook:
    return webhooks.create(restaurant=restaurant, url=receiver.url)


def tests_for(webhook: Webhook, count: int = 1) -> None:
    rows = [WebhookDelivery(webhook=webhook, topic=Webhook.Topic.TEST) for _ in range(count)]
    WebhookDelivery.objects.bulk_create(rows)


def deliver_all(timeout_s: float = 10.0) -> None:
    """As long as anything is due; near its end a round spares those that are slow."""
    asyncio.run(deliver(for_s=timeout_s + 60, timeout_s=timeout_s))


def outcome() -> tuple[str, int | None, str]:
    row = WebhookDelivery.objects.get()
    return row.state, row.response_status, row.error


def test_a_call_is_signed_and_says_what_it_is(webhook: Webhook, receiver: Receiver) -> None:
    tests_for(webhook)
    tasks.deliver_webhooks()
    [call] = receiver.calls
    row = WebhookDelivery.objects.get()
    assert (row.state, call.id, call.path) == (State.DELIVERED, str(row.event_id), "/hook")
    assert call.headers["content-type"] == "application/json"
    assert call.told["type"] == "webhook.test"
    assert call.told["data"] == {"restaurant_id": str(webhook.restaurant_id)}
    assert call.is_signed_with(webhook.secret) and not call.is_signed_with("whsec_" + "A" * 44)
    tasks.deliver_webhooks()
    assert len(receiver.calls) == 1


def test_after_a_change_of_secrets_either_verifies(webhook: Webhook, receiver: Receiver) -> None:
    old = webhook.secret
    webhooks.renew_secret(webhook=webhook)
    tests_for(webhook)
    deliver_all()
    [call] = receiver.calls
    assert call.is_signed_with(old) and call.is_signed_with(webhook.secret)


def test_what_fails_is_told_again_under_the_same_id(webhook: Webhook, receiver: Receiver) -> None:
    answers = iter([500, 204])
    receiver.answer = lambda _: next(answers)
    tests_for(webhook)
    deliver_all()
    assert outcome() == (State.PENDING, 500, "Answered with 500.")
    WebhookDelivery.objects.update(next_attempt_at=ago(seconds=1))
    Webhook.objects.update(retry_at=ago(seconds=1))
    deliver_all()
    first, second = receiver.calls
    assert (first.id, first.body) == (second.id, second.body)
    assert outcome() == (State.DELIVERED, 204, "")


def test_many_go_in_one_round(webhook: Webhook, receiver: Receiver) -> None:
    tests_for(webhook, 100)
    deliver_all()
    assert len({call.id for call in receiver.calls}) == 100 == len(receiver.calls)
    assert WebhookDelivery.objects.filter(state=State.DELIVERED).count() == 100


def test_over_a_whole_round_no_webhook_has_more_calls_at_once_than_it_may(webhook: Webhook, receiver: Receiver) -> None:
    """They end at different times: whenever a place is free, one goes, and not as many as the first time."""
    pause, under_way, counts = threading.Event(), set[str](), list[int]()

    def slow(call: Call) -> int:
        under_way.add(call.id)
        counts.append(len(under_way))
        pause.wait(0.02 * (1 + len(counts) % 7))
        under_way.discard(call.id)
        return 204

    receiver.answer = slow
    tests_for(webhook, 5 * deliveries.EACH)
    deliver_all()
    assert len(counts) == 5 * deliveries.EACH and 1 < max(counts) <= deliveries.EACH


def test_one_that_is_slow_keeps_none_of_the_others_waiting(webhook: Webhook, receiver: Receiver, restaurant: Restaurant) -> None:
    others_done = threading.Event()
    with receiving() as other:

        def slow(_: Call) -> int:
            assert others_done.wait(20), "the others waited for it"
            return 204

        def quick(_: Call) -> int:
            if len(other.calls) == 50:
                others_done.set()
            return 204

        receiver.answer, other.answer = slow, quick
        tests_for(webhook, 20)
        tests_for(webhooks.create(restaurant=restaurant, url=other.url), 50)
        deliver_all(timeout_s=30)
    assert not WebhookDelivery.objects.exclude(state=State.DELIVERED).exists()


def test_no_answer_in_time_is_a_failure(webhook: Webhook, receiver: Receiver) -> None:
    never = threading.Event()

    def hang(_: Call) -> int:
        never.wait(20)
        return 204

    receiver.answer = hang
    tests_for(webhook)
    deliver_all(timeout_s=0.3)
    never.set()
    assert outcome() == (State.PENDING, None, "No answer within 0.3 s.")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Length": "2", "Connection": "close"}, b""),  # it breaks off
        ({"Content-Length": "2"}, b""),  # it never comes
        ({"Content-Length": "2", "Content-Encoding": "gzip"}, b"ok"),  # it is no gzip
    ],
)
@pytest.mark.parametrize(("status", "state"), [(200, State.DELIVERED), (410, State.FAILED)])
def test_what_is_wrong_with_the_body_takes_nothing_back(
    webhook: Webhook, receiver: Receiver, status: int, state: str, headers: dict[str, str], body: bytes
) -> None:
    receiver.answer = lambda _: (status, headers, body)
    tests_for(webhook)
    deliver_all(timeout_s=1)
    assert outcome()[:2] == (state, status)


def test_a_redirect_is_not_followed(webhook: Webhook, receiver: Receiver) -> None:
    receiver.answer = lambda _: (302, {"Location": receiver.url})
    tests_for(webhook)
    deliver_all()
    assert len(receiver.calls) == 1
    assert outcome() == (State.PENDING, 302, "Answered with 302; redirects are not followed.")


def test_it_waits_as_long_as_the_other_side_asks(webhook: Webhook, receiver: Receiver) -> None:
    receiver.answer = lambda _: (429, {"Retry-After": "3600"})
    tests_for(webhook)
    deliver_all()
    assert WebhookDelivery.objects.get().next_attempt_at > timezone.now() + timedelta(minutes=59)


def test_410_switches_it_off(webhook: Webhook, receiver: Receiver) -> None:
    receiver.answer = lambda _: 410
    tests_for(webhook)
    deliver_all()
    webhook.refresh_from_db()
    assert not webhook.is_active
    assert outcome()[0] == State.FAILED


def test_nobody_listening_is_said_in_words(webhook: Webhook) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    Webhook.objects.update(url=f"http://127.0.0.1:{port}/")
    tests_for(webhook)
    deliver_all()
    assert outcome() == (State.PENDING, None, "No connection: Connection refused.")


@pytest.mark.parametrize(
    "host, why",
    [
        ("127.0.0.1", "This address is inside the installation's own network, which is not allowed here."),
        ("[::1]", "This address is inside the installation's own network, which is not allowed here."),
    ],
)
def test_it_never_calls_into_its_own_network_unless_that_is_allowed(
    webhook: Webhook, receiver: Receiver, settings: Any, host: str, why: str
) -> None:
    """Whatever was stored while it was allowed, and however the address is written."""
    settings.WEBHOOK_PRIVATE_ADDRESSES = False
    port = receiver.url.split(":")[2].split("/")[0]
    Webhook.objects.update(url=f"https://{host}:{port}/")
    tests_for(webhook)
    deliver_all()
    assert receiver.calls == []
    assert outcome() == (State.PENDING, None, why)


def test_a_name_that_leads_inside_is_found_when_it_is_looked_up(
    webhook: Webhook, receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WEBHOOK_PRIVATE_ADDRESSES = False
    monkeypatch.setattr(addresses, "refusal", lambda url, private: "")  # as for a name that nothing can be seen of
    Webhook.objects.update(url=receiver.url.replace("127.0.0.1", "localhost"))
    tests_for(webhook)
    deliver_all()
    assert receiver.calls == []
    assert outcome() == (State.PENDING, None, "Its name leads into the installation's own network, which is not allowed here.")


def test_an_address_without_tls_is_not_called(webhook: Webhook, receiver: Receiver, settings: Any) -> None:
    settings.WEBHOOK_PRIVATE_ADDRESSES = False
    Webhook.objects.update(url=receiver.url.replace("127.0.0.1", "till.example"))
    tests_for(webhook)
    deliver_all()
    assert "https://" in outcome()[2]


def test_what_does_not_speak_tls_is_said_in_words(webhook: Webhook, receiver: Receiver) -> None:
    Webhook.objects.update(url=receiver.url.replace("http://", "https://"))
    tests_for(webhook)
    deliver_all()
    assert outcome() == (State.PENDING, None, "Its certificate is not valid, or it does not speak TLS.")


def test_while_another_process_delivers_it_leaves_that_to_it(webhook: Webhook, receiver: Receiver) -> None:
    tests_for(webhook, 3)
    Webhook.objects.update(failures=1)  # it gets one call at a time
    left_alone: list[int] = []

    def elsewhere(_: Call) -> int:
        if len(receiver.calls) == 1:
            tasks.deliver_webhooks()  # in a thread and with a connection of its own
            left_alone.append(WebhookDelivery.objects.filter(attempts=0).count())
            connection.close()
        return 204

    receiver.answer = elsewhere
    tasks.deliver_webhooks()
    assert left_alone == [2] and len(receiver.calls) == 3


def test_what_is_slow_gets_nothing_new_shortly_before_the_end(webhook: Webhook, receiver: Receiver) -> None:
    """All others would wait for it before the next round begins."""
    pause = threading.Event()

    def slow(_: Call) -> int:
        pause.wait(1.3)
        return 204

    receiver.answer = slow
    tests_for(webhook, 3 * deliveries.EACH)
    asyncio.run(deliver(for_s=11, timeout_s=10))
    assert len(receiver.calls) == deliveries.EACH


def test_a_worker_that_stops_takes_nothing_new(webhook: Webhook, receiver: Receiver, stopping: None) -> None:
    tests_for(webhook)
    deliver_all()
    assert receiver.calls == []


@pytest.fixture
def stopping() -> Iterator[None]:
    """As the worker says it before its pool's processes are to end."""
    worker_shutting_down.send(sender="default@here", sig="SIGTERM", how="Warm", exitcode=0)
    yield
    round_of_calls._stopping.value = False


def test_a_name_server_that_does_not_answer_holds_up_its_own_name_alone(
    webhook: Webhook, receiver: Receiver, restaurant: Restaurant, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends, look_up = threading.Event(), socket.getaddrinfo

    def hang(host: str, *args: Any, **more: Any) -> Any:
        if host.endswith(".example"):
            ends.wait(30)
        return look_up(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    for number in range(10):
        tests_for(webhooks.create(restaurant=restaurant, url=f"http://{number}.example/"))
    tests_for(webhooks.change(webhook=webhook, url=receiver.url.replace("127.0.0.1", "localhost")))
    deliver_all(timeout_s=1)
    ends.set()
    assert len(receiver.calls) == 1
    assert set(WebhookDelivery.objects.exclude(webhook=webhook).values_list("error", flat=True)) == {"No answer within 1 s."}


def test_an_unknown_name_is_said_in_words(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    Webhook.objects.update(url="http://till.example/")
    tests_for(webhook)
    deliver_all()
    assert outcome() == (State.PENDING, None, "Its name is unknown.")


def test_no_cookie_goes_from_one_call_to_the_next(webhook: Webhook, receiver: Receiver) -> None:
    webhooks.change(webhook=webhook, url=receiver.url.replace("127.0.0.1", "localhost"))
    receiver.answer = lambda _: (204, {"Set-Cookie": "a=b; Path=/"})
    tests_for(webhook, 3 * deliveries.EACH)
    deliver_all()
    assert len(receiver.calls) == 3 * deliveries.EACH
    assert not [call for call in receiver.calls if "cookie" in call.headers]


def test_no_secret_and_no_text_reaches_the_log(webhook: Webhook, receiver: Receiver, capsys: Any, caplog: Any) -> None:
    receiver.answer = lambda _: 500
    tests_for(webhook)
    deliver_all()
    logged = caplog.text + "".join(capsys.readouterr())
    assert webhook.secret not in logged and webhook.secret.removeprefix("whsec_") not in logged


def test_nothing_due_is_one_look(restaurant: Restaurant) -> None:
    assert not deliveries.waiting()
    tasks.deliver_webhooks()
