"""What webhooks are told: made by whatever statement makes an event true; taken, settled and forgotten."""

import json
import threading
from collections import defaultdict
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.utils import timezone

from sessions_app.models import Message, Restaurant, Session, SessionEvent, Webhook, WebhookDelivery
from sessions_app.policy.webhooks import OUTAGE, Answer, judge
from sessions_app.services import deliveries, inbound, messages, session_state, sessions, sweeps, webhooks
from sessions_app.services.deliveries import Due, Result
from sessions_app.services.ownership import Claimed, Registration
from tests.services.test_inbound import PHONE, event, receipt, received, record
from tests.services.test_session_state import truth
from tests.support.claiming import acked, claim, settle
from tests.support.owning import ago, in_threads, queued
from tests.support.stack import eventually
from tests.support.threads import at_once, somebody_waits

OK, BROKEN, GONE = Answer(200), Answer(500, "Answered with 500."), Answer(410, "Answered with 410.")
SILENT = Answer(None, "No answer within 10 s.")
State = WebhookDelivery.Outcome


@pytest.fixture
def webhook(restaurant: Restaurant) -> Webhook:
    return webhooks.create(restaurant=restaurant, url="https://till.example/hook")


def topics() -> list[str]:
    return list(WebhookDelivery.objects.order_by("id").values_list("topic", flat=True))


def told() -> list[tuple[str, dict[str, Any]]]:
    """Topic and data of all that is to be told, in order."""
    return [(due.topic, json.loads(due.body)["data"]) for due in deliveries.take()]


def fresh(webhook: Webhook) -> Webhook:
    webhook.refresh_from_db()
    return webhook


def tried(due: Due, answer: Answer) -> Result:
    return Result(due, answer, judge(answer, attempts=due.attempts, now=timezone.now(), jitter=0))


def settled(answer: Answer, *, most: int = 1) -> list[Due]:
    """Takes what is due, and settles all of it with this answer."""
    taken = deliveries.take(most=most)
    deliveries.settle(results=[tried(due, answer) for due in taken])
    return taken


def pending(webhook: Webhook, count: int) -> list[int]:
    rows = [WebhookDelivery(webhook=webhook, topic=Webhook.Topic.TEST) for _ in range(count)]
    return [row.pk for row in WebhookDelivery.objects.bulk_create(rows)]


def wait_is_over(webhook: Webhook) -> None:
    Webhook.objects.filter(pk=webhook.pk).update(retry_at=ago(seconds=1))


# --- What is told


def test_a_message_is_told_from_the_wire_to_the_reader(
    webhook: Webhook, session: Session, me: Registration, mine: Claimed
) -> None:
    queued(session, reference="order 7")
    got = claim(me, mine)
    assert got
    acked(me, got)
    message = Message.objects.get()
    record(receipt(message, "delivered", 1), receipt(message, "read", 2), receipt(message, "read", 2))
    said = told()
    assert [topic for topic, _ in said] == ["message.sent", "message.delivered", "message.read"]
    assert [data["status"] for _, data in said] == ["sent", "delivered", "read"]
    assert {(data["message_id"], data["session_id"], data["to"], data["reference"]) for _, data in said} == {
        (str(message.pk), str(session.pk), message.to_phone, "order 7")
    }


def test_what_was_implied_is_told_as_well(webhook: Webhook, session: Session, me: Registration, mine: Claimed) -> None:
    queued(session)
    assert claim(me, mine)
    record(receipt(Message.objects.get(), "read"))
    assert topics() == ["message.sent", "message.delivered", "message.read"]


def test_a_failure_says_why(webhook: Webhook, session: Session, me: Registration, mine: Claimed) -> None:
    queued(session)
    got = claim(me, mine)
    assert got
    settle(me, got, "failed", code="no_whatsapp")
    [(topic, data)] = told()
    assert (topic, data["reason"]) == ("message.failed", "no_whatsapp")


def test_whoever_ends_a_message_tells_it(webhook: Webhook, session: Session) -> None:
    messages.cancel(message=messages.enqueue(session=session, to=PHONE, body="no").message)
    queued(session, expires_at=ago(seconds=1))
    sweeps.expire_messages()
    messages.enqueue(session=session, to=PHONE, body="waits")
    sessions.delete(session=session)
    assert topics() == ["message.canceled", "message.expired", "message.canceled"]


def test_what_a_customer_writes_is_told_once(webhook: Webhook, session: Session) -> None:
    reply = received(session, phone=PHONE, text="Ciao ☀️")
    record(reply)
    record(reply)
    [(topic, data)] = told()
    assert topic == "message.received"
    assert (data["text"], data["sender_phone"], data["sender_name"], data["kind"]) == ("Ciao ☀️", PHONE, "Ada", "text")


def test_an_edit_is_told_with_what_it_takes_the_place_of(webhook: Webhook, session: Session) -> None:
    record(received(session, phone=PHONE, text="2 pizzas"), received(session, id="E1", phone=PHONE, text="3 pizzas", edits="A1"))
    of = {data["text"]: data for _, data in told()}
    assert (of["2 pizzas"]["edits"], of["3 pizzas"]["edits"]) == (None, of["2 pizzas"]["id"])


def test_stop_suppresses_and_tells(webhook: Webhook, session: Session) -> None:
    messages.enqueue(session=session, to=PHONE, body="waits")
    record(received(session, phone=PHONE, text="STOP"))
    assert sorted(topics()) == ["message.received", "message.suppressed"]


def test_nothing_is_told_of_what_is_rolled_back(webhook: Webhook, session: Session) -> None:
    message = messages.enqueue(session=session, to=PHONE, body="no").message
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        messages.cancel(message=message)
        raise ZeroDivisionError
    assert topics() == []


def test_another_restaurants_webhook_is_told_nothing(webhook: Webhook) -> None:
    other = sessions.create(restaurant=Restaurant.objects.create(name="Other", default_region="DE"), name="main")
    messages.cancel(message=messages.enqueue(session=other, to=PHONE, body="no").message)
    record(received(other))
    assert topics() == []


def test_each_webhook_is_told_what_it_chose(restaurant: Restaurant, session: Session) -> None:
    everything = webhooks.create(restaurant=restaurant, url="https://a.example/")
    replies = webhooks.create(restaurant=restaurant, url="https://b.example/", topics=["message.received"])
    webhooks.change(webhook=webhooks.create(restaurant=restaurant, url="https://c.example/"), is_active=False)
    messages.cancel(message=messages.enqueue(session=session, to=PHONE, body="no").message)
    record(received(session))
    of: dict[UUID, list[str]] = defaultdict(list)
    for due in deliveries.take():
        of[due.webhook].append(due.topic)
    assert of == {everything.pk: ["message.canceled", "message.received"], replies.pk: ["message.received"]}


# --- What is told of a number


def said(session: Session, type_: str, **data: Any) -> None:
    inbound.record(bridge="b", events=[event(session, type_, timezone.now(), **data)])


def test_a_restriction_is_told_when_it_changes(webhook: Webhook, session: Session) -> None:
    """With each login the number is told again what holds it."""
    until = "2026-06-01T12:00:00+00:00"
    for active, end in ((False, None), (True, until), (True, until), (False, None), (False, None)):
        said(session, "number.restricted", active=active, until=end, kind="")
    assert [(topic, data["active"], data["until"]) for topic, data in told()] == [
        ("session.restriction_changed", True, until),
        ("session.restriction_changed", False, None),
    ]


def test_the_limit_of_new_chats_is_told_when_it_changes(webhook: Webhook, session: Session) -> None:
    for status, used in (("none", 1), ("first_warning", 30), ("first_warning", 31), ("capped", 50), ("none", 0)):
        said(session, "number.chat_cap", status=status, used=used, total=50)
    assert [(data["status"], data["used"]) for _, data in told()] == [("first_warning", 30), ("capped", 50), ("none", 0)]


@pytest.mark.parametrize("data", [{}, {"active": "maybe"}, {"active": [1]}, {"active": {"a": None}, "until": 3}])
def test_what_cannot_be_read_costs_nothing(webhook: Webhook, session: Session, data: dict[str, Any]) -> None:
    said(session, "number.restricted", **data)
    said(session, "number.chat_cap", **data)
    assert SessionEvent.objects.filter(kind__in=["number_restricted", "chat_cap"]).count() == 2


def test_a_ban_is_told_with_its_reason(webhook: Webhook, session: Session, me: Registration, mine: Claimed) -> None:
    for state, reason in (("connecting", ""), ("connected", ""), ("blocked", "banned_temporarily")):
        change = {"from": "x", "to": state, "reason": reason}
        session_state.write_truths(worker=me.worker, truths=[truth(mine, state, reason=reason, events=[change])])
    assert [(data["state"], data["reason"], data["session_name"]) for _, data in told()] == [
        ("connected", "", "main"),
        ("blocked", "banned_temporarily", "main"),
    ]


def test_a_move_to_another_worker_is_no_news(webhook: Webhook, session: Session, me: Registration, mine: Claimed) -> None:
    """The new owner's row says `connecting`, then `connected`; nobody was told that it was gone."""
    for before, state in (("x", "connected"), ("disconnected", "connecting"), ("connecting", "connected")):
        change = {"from": before, "to": state}
        session_state.write_truths(worker=me.worker, truths=[truth(mine, state, events=[change])])
    assert [data["state"] for _, data in told()] == ["connected"]
    for before, state in (("connected", "disconnected"), ("connecting", "connected")):
        session_state.write_truths(worker=me.worker, truths=[truth(mine, state, events=[{"from": before, "to": state}])])
    assert [data["state"] for _, data in told()] == ["disconnected", "connected"]


# --- Attempts


def test_a_body_is_the_same_at_every_attempt(webhook: Webhook, session: Session) -> None:
    record(received(session))
    [first] = settled(BROKEN)
    WebhookDelivery.objects.update(next_attempt_at=ago(seconds=1))
    wait_is_over(webhook)
    [second] = settled(OK)
    assert (first.body, first.event_id, first.attempts) == (second.body, second.event_id, 1)
    assert second.attempts == 2
    assert (WebhookDelivery.objects.get().state, deliveries.take()) == (State.DELIVERED, [])


def test_what_was_taken_is_not_taken_again_until_it_counts_as_lost(webhook: Webhook) -> None:
    pending(webhook, 1)
    assert len(deliveries.take()) == 1
    assert deliveries.take() == []
    assert WebhookDelivery.objects.get().next_attempt_at > timezone.now() + timedelta(seconds=50)
    WebhookDelivery.objects.update(next_attempt_at=ago(seconds=1))
    assert [due.attempts for due in deliveries.take()] == [2]


def test_one_webhook_does_not_crowd_out_the_others(webhook: Webhook, restaurant: Restaurant) -> None:
    other = webhooks.create(restaurant=restaurant, url="https://b.example/")
    pending(webhook, 100)
    pending(other, 1)
    of = [due.webhook for due in deliveries.take()]
    assert (of.count(webhook.pk), of.count(other.pk)) == (deliveries.EACH, 1)
    assert deliveries.take(without=[webhook.pk]) == []


def test_what_is_under_way_counts(webhook: Webhook, restaurant: Restaurant) -> None:
    """Of the webhook, and of its restaurant."""
    pending(webhook, 100)
    assert len(deliveries.take(under_way={webhook.pk: 5})) == deliveries.EACH - 5
    assert deliveries.take(under_way={webhook.pk: deliveries.EACH}) == []
    others = [webhooks.create(restaurant=restaurant, url=f"https://{n}.example/") for n in range(3)]
    assert len(deliveries.take(under_way={one.pk: 5 for one in others})) == deliveries.OF_RESTAURANT - 15
    Webhook.objects.update(failures=1)
    assert deliveries.take(under_way={webhook.pk: 1}) == [] and len(deliveries.take()) == 1


def test_a_restaurant_with_many_webhooks_leaves_room_for_the_others(restaurant: Restaurant) -> None:
    crowd = [webhooks.create(restaurant=restaurant, url=f"https://{n}.example/") for n in range(10)]
    other = webhooks.create(restaurant=Restaurant.objects.create(name="Other", default_region="DE"), url="https://o.example/")
    for one in (*crowd, other):
        pending(one, 20)
    of = [due.webhook for due in deliveries.take(most=20)]
    assert of.count(other.pk) == deliveries.EACH
    assert 0 < len(of) - of.count(other.pk) <= deliveries.OF_RESTAURANT
    assert len(of) == 20


def test_the_oldest_go_first(webhook: Webhook) -> None:
    ids = pending(webhook, 20)
    assert [due.delivery for due in deliveries.take()] == ids[: deliveries.EACH]


def test_an_address_that_fails_gets_one_at_a_time_and_ever_less_often(webhook: Webhook) -> None:
    pending(webhook, 20)
    settled(BROKEN, most=2)
    assert fresh(webhook).failures == 2
    assert webhook.failing_since and webhook.last_error == "Answered with 500."
    assert deliveries.take() == [] and not deliveries.waiting()
    wait_is_over(webhook)
    assert deliveries.waiting()
    [one] = deliveries.take()
    deliveries.settle(results=[tried(one, BROKEN)])
    assert fresh(webhook).retry_at > timezone.now() + timedelta(seconds=3)


def test_after_an_outage_what_failed_goes_at_once(webhook: Webhook) -> None:
    pending(webhook, OUTAGE + 1)
    for _ in range(OUTAGE):
        settled(SILENT)
        wait_is_over(webhook)
    assert len(settled(OK)) == 1
    assert fresh(webhook).failures == 0 and webhook.failing_since is None and webhook.last_success_at
    assert len(deliveries.take()) == OUTAGE


def test_what_is_under_way_is_not_hurried(webhook: Webhook) -> None:
    pending(webhook, OUTAGE + 2)
    *failed, late, good = deliveries.take()
    results = [tried(due, SILENT) for due in failed] + [tried(good, OK)]
    deliveries.settle(results=results, under_way=[late.delivery])
    assert {due.delivery for due in deliveries.take()} == {due.delivery for due in failed}


@pytest.mark.parametrize("answer, hurried", [(Answer(None, "No answer."), True), (Answer(503), True), (BROKEN, False)])
def test_only_what_an_outage_did_is_hurried(webhook: Webhook, answer: Answer, hurried: bool) -> None:
    """Where the address answered, its answer may have been about the event, which waits its own time."""
    pending(webhook, OUTAGE + 1)
    for _ in range(OUTAGE):
        settled(answer)
        wait_is_over(webhook)
    settled(OK)
    assert len(deliveries.take()) == (OUTAGE if hurried else 0)


def test_what_is_new_goes_before_what_was_tried(webhook: Webhook) -> None:
    tried_before, new = pending(webhook, 2)
    WebhookDelivery.objects.filter(pk=tried_before).update(attempts=1, next_attempt_at=ago(hours=1))
    Webhook.objects.update(failures=1)
    assert [due.delivery for due in deliveries.take()] == [new]


def test_a_test_goes_before_all_that_waits(webhook: Webhook) -> None:
    pending(webhook, 20)
    WebhookDelivery.objects.update(next_attempt_at=ago(hours=1))
    Webhook.objects.update(failures=9, retry_at=ago(hours=-1))
    asked_for = webhooks.try_out(webhook=webhook)
    assert [due.delivery for due in deliveries.take()] == [asked_for.pk]


def test_gone_switches_it_off(webhook: Webhook) -> None:
    pending(webhook, 2)
    settled(GONE)
    assert not fresh(webhook).is_active and "410" in webhook.inactive_reason
    assert (deliveries.take(), deliveries.waiting()) == ([], False)
    webhooks.change(webhook=webhook, is_active=True)
    assert len(deliveries.take()) == 1


@pytest.mark.parametrize(
    "was_active, change, hurried",
    [
        (True, {"url": "https://new.example/"}, True),
        (False, {"is_active": True}, True),
        (True, {"is_active": True, "url": "https://till.example/hook"}, False),
        (True, {"topics": ["message.failed"]}, False),
    ],
)
def test_what_failed_goes_at_once_where_it_is_tried_anew(
    webhook: Webhook, was_active: bool, change: dict[str, Any], hurried: bool
) -> None:
    """But not what is under way, which would be told twice."""
    pending(webhook, 2)
    failed, _ = deliveries.take()
    WebhookDelivery.objects.filter(pk=failed.delivery).update(next_attempt_at=ago(hours=-10))
    Webhook.objects.update(is_active=was_active)
    webhooks.change(webhook=fresh(webhook), **change)
    assert [due.delivery for due in deliveries.take()] == [failed.delivery] * hurried


def test_every_secret_of_the_last_day_signs(webhook: Webhook) -> None:
    """However often it was renewed: the other side may have been given any of them."""
    given = [webhook.secret]
    pending(webhook, 2)
    for _ in range(3):
        given.append(webhooks.renew_secret(webhook=webhook).secret)
    [due] = deliveries.take(most=1)
    assert due.secrets == tuple(reversed(given)) and len(set(given)) == 4
    first, *others = webhook.old_secrets
    Webhook.objects.update(old_secrets=[{**first, "until": ago(seconds=1).isoformat()}, *others])
    [due] = deliveries.take(most=1)
    assert due.secrets == tuple(reversed(given[1:]))


def test_an_answer_of_an_old_address_is_not_held_against_the_new_one(webhook: Webhook) -> None:
    pending(webhook, 1)
    [due] = deliveries.take()
    webhooks.change(webhook=webhook, url="https://new.example/")
    deliveries.settle(results=[tried(due, GONE)])
    assert fresh(webhook).is_active and webhook.failures == 0


def test_what_was_finished_is_forgotten_after_a_month(webhook: Webhook) -> None:
    kept, old = pending(webhook, 2)
    WebhookDelivery.objects.filter(pk=kept).update(finished_at=ago(days=29), state=State.DELIVERED)
    WebhookDelivery.objects.filter(pk=old).update(finished_at=ago(days=31), state=State.FAILED)
    assert deliveries.forget() == 1
    assert WebhookDelivery.objects.get().pk == kept


@pytest.mark.parametrize("is_active", [True, False])
def test_what_nobody_takes_for_days_is_given_up(webhook: Webhook, is_active: bool) -> None:
    pending(webhook, 1)
    webhooks.change(webhook=webhook, is_active=is_active)
    for age, state in ((3.9, State.PENDING), (4.1, State.FAILED)):
        WebhookDelivery.objects.update(created_at=ago(days=age))
        deliveries.forget()
        assert WebhookDelivery.objects.get().state == state


def test_only_one_delivers_at_a_time(transactional_db: None) -> None:
    together = threading.Barrier(3)

    def alone(_: int) -> bool:
        with deliveries.alone() as mine:
            together.wait(timeout=10)
            return mine

    assert sorted(in_threads(3, alone)) == [False, False, True]
    with deliveries.alone() as mine:
        assert mine


def test_one_that_is_deleted_meanwhile_costs_nobody_a_message(transactional_db: None, webhook: Webhook, session: Session) -> None:
    """The reference to it would fail, and the statement that ended the message with it."""
    message = messages.enqueue(session=session, to=PHONE, body="no").message
    locked = threading.Event()

    def delete() -> None:
        with transaction.atomic():
            webhooks.delete(webhook=webhook)
            locked.set()
            eventually(somebody_waits, what="that the other statement waits")

    def cancel() -> None:
        assert locked.wait(10)
        messages.cancel(message=message)

    assert not [one for one in at_once(delete, cancel) if isinstance(one, Exception)]
    assert Message.objects.get().status == "canceled"
    assert not WebhookDelivery.objects.exists()
