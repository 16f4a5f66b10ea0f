"""What is older than it is kept: what goes, what stays, and that nobody waits for it."""

import json
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import Model
from django.utils import timezone
from pytest_django.fixtures import Settings

from sessions_app.errors import NotFound
from sessions_app.models import (
    Consent,
    Contact,
    IdempotencyRecord,
    InboundMessage,
    Message,
    MessageEvent,
    Restaurant,
    SendTally,
    Session,
    SessionEvent,
    Webhook,
    WebhookDelivery,
)
from sessions_app.models.base import first_uuid7
from sessions_app.services import api_keys, deliveries, forgetting, inbound, messages, sweeps, webhooks
from sessions_app.services.forgetting import ADMIN_ENTRIES, INBOUND, MESSAGES, PAGE, SESSION_EVENTS
from sessions_app.services.messages import OptedOut
from tests.api.client import ApiClient, problem
from tests.services.test_inbound import LID, PHONE, event, receipt, received, record
from tests.support.claiming import explained, know_many, pile_up, rows_read
from tests.support.owning import ago, in_threads, queued, timeline

Status = Message.Status
WAITING = {Status.SCHEDULED, Status.QUEUED, Status.SENDING, Status.UNCERTAIN}


@pytest.fixture(autouse=True)
def month(settings: Settings) -> None:
    settings.MESSAGES_KEPT_DAYS = 30


def id_of(at: datetime) -> UUID:
    return UUID(int=first_uuid7(at).int + secrets.randbits(64))


def aged(session: Session, status: str = "read", *, days: float = 31, changed: float | None = None, **more: Any) -> Message:
    """Accepted so many days ago, and last changed then, or `changed` days ago."""
    at, since = ago(days=days), ago(days=days if changed is None else changed)
    message = queued(session, id=id_of(at), status=status, status_at=since, not_before=at, attempts=1, **more)
    Message.objects.filter(pk=message.pk).update(created_at=at)
    MessageEvent.objects.bulk_create([MessageEvent(message=message, at=at, status=one) for one in ("queued", status)])
    return message


def written(session: Session, text: str = "hello", *, days: float = 31) -> None:
    """Somebody has written, so many days ago."""
    at = ago(days=days)
    whose: dict[str, Any] = {"restaurant": session.restaurant, "session": session, "chat": LID, "sender": LID, "wa_id": text}
    made = InboundMessage.objects.create(id=id_of(at), kind="text", text=text, sent_at=at, **whose)
    InboundMessage.objects.filter(pk=made.pk).update(created_at=at)


def told_long_ago(session: Session, text: str) -> None:
    """A customer has told it to the bridge, a hundred days ago."""
    record(received(session, id=text, text=text, phone=PHONE))
    InboundMessage.objects.filter(text=text).update(id=id_of(ago(days=100)), created_at=ago(days=100))


def logged(session: Session, kind: str = "claimed", *, days: float = 31, **detail: Any) -> SessionEvent:
    return SessionEvent.objects.create(session=session, at=ago(days=days), kind=kind, detail=detail)


def done(session: Session, model: type[Model] = Message, *, days: float = 31) -> None:
    """Somebody has pressed a button in the admin, so many days ago."""
    user, _ = User.objects.get_or_create(username="manager")
    kind = ContentType.objects.get_for_model(model)
    values: dict[str, Any] = {"user": user, "object_id": str(session.pk), "object_repr": f"To {PHONE}", "action_flag": CHANGE}
    LogEntry.objects.create(content_type=kind, action_time=ago(days=days), **values)


def kept() -> list[Message]:
    return list(Message.objects.order_by("seq"))


def forgotten() -> list[int]:
    return [forgetting.forget(kind) for kind in forgetting.KINDS]


# --- Messages


@pytest.mark.parametrize("status", Status)
def test_what_is_finished_goes_and_what_waits_stays(session: Session, status: str) -> None:
    aged(session, status, days=400)
    assert forgetting.forget(MESSAGES) == (0 if status in WAITING else 1)
    assert Message.objects.exists() == MessageEvent.objects.exists() == (status in WAITING)


def test_the_timeline_goes_with_its_message_and_no_other(session: Session) -> None:
    old, young = aged(session, days=31), aged(session, days=29)
    assert forgetting.forget(MESSAGES) == 1
    assert kept() == [young] and timeline(young) == ["queued", "read"]
    assert not MessageEvent.objects.filter(message_id=old.pk).exists()


def test_days_are_those_of_the_setting(session: Session, settings: Settings) -> None:
    aged(session, days=59)
    settings.MESSAGES_KEPT_DAYS = 60
    assert forgetting.forget(MESSAGES) == 0
    settings.MESSAGES_KEPT_DAYS = 58
    assert forgetting.forget(MESSAGES) == 1


def test_nothing_is_forgotten_unless_somebody_wants_it(session: Session, settings: Settings) -> None:
    settings.MESSAGES_KEPT_DAYS = 0
    aged(session, days=4_000)
    written(session, days=4_000)
    logged(session, days=4_000)
    done(session, days=4_000)
    assert forgotten() == [0, 0, 0, 0]


def test_what_changed_lately_stays_however_old_it_is(session: Session) -> None:
    """It was queued for a month because nobody linked a number, and went yesterday."""
    aged(session, "sent", days=60, changed=1)
    assert forgetting.forget(MESSAGES) == 0


def test_a_receipt_keeps_an_old_message(session: Session) -> None:
    message = aged(session, "sent")
    record(event(session, "message.receipt", timezone.now(), id=message.wa_id, status="read"))
    assert forgetting.forget(MESSAGES) == 0
    assert [message.status for message in kept()] == ["read"]


def test_a_receipt_that_comes_too_late_changes_nothing(session: Session) -> None:
    message = aged(session, "sent")
    assert forgetting.forget(MESSAGES) == 1
    assert record(receipt(message, "read")) == {"unknown_message": 1}


def test_its_idempotency_key_goes_first(session: Session) -> None:
    message = aged(session)
    IdempotencyRecord.objects.create(restaurant=session.restaurant, key="k", fingerprint=b"", message=message)
    assert forgetting.forget(MESSAGES) == 0
    IdempotencyRecord.objects.update(created_at=ago(days=8))
    assert (sweeps.forget_idempotency_records(), forgetting.forget(MESSAGES)) == (1, 1)


def test_what_was_counted_stays(session: Session) -> None:
    aged(session)
    SendTally.objects.create(session=session, quarter=ago(days=31), lane=0, sent=1)
    assert forgetting.forget(MESSAGES) == 1
    assert SendTally.objects.get().sent == 1


# --- What webhooks are owed, or were told lately


@pytest.fixture
def webhook(restaurant: Restaurant) -> Webhook:
    return webhooks.create(restaurant=restaurant, url="https://till.example/hook")


def told(days: float) -> None:
    """All that webhooks wait for was delivered so many days ago; what is too old of that is forgotten."""
    WebhookDelivery.objects.update(state="delivered", finished_at=ago(days=days))
    deliveries.forget()


def test_a_message_stays_while_a_webhook_is_owed_a_call_about_it(webhook: Webhook, session: Session) -> None:
    """A receipt may have waited for a month on a worker's disk: it says when it was given, not when it came."""
    message = aged(session, "sent", days=400)
    record(event(session, "message.receipt", ago(days=399), id=message.wa_id, status="delivered"))
    WebhookDelivery.objects.exclude(topic="message.delivered").delete()
    assert WebhookDelivery.objects.get().state == "pending"
    assert forgetting.forget(MESSAGES) == 0
    told(days=29)
    assert forgetting.forget(MESSAGES) == 0
    told(days=31)
    assert forgetting.forget(MESSAGES) == 1


def test_so_does_what_a_customer_wrote(webhook: Webhook, session: Session) -> None:
    written(session)
    assert forgetting.forget(INBOUND) == 0
    told(days=31)
    assert forgetting.forget(INBOUND) == 1


def test_so_does_a_line_of_the_activity_log(webhook: Webhook, session: Session) -> None:
    for _ in range(2):
        logged(session, "state", to="disconnected")
    assert forgetting.forget(SESSION_EVENTS) == 0
    told(days=31)
    assert forgetting.forget(SESSION_EVENTS) == 1


# --- What customers wrote


def test_what_customers_wrote_goes_and_they_are_still_known(session: Session) -> None:
    told_long_ago(session, "old")
    record(received(session, id="young", text="young", phone=PHONE))
    assert forgetting.forget(INBOUND) == 1
    assert InboundMessage.objects.get().text == "young"
    assert Contact.objects.get().last_inbound_at


def test_an_opt_out_stays_with_its_proof(session: Session) -> None:
    told_long_ago(session, "STOP")
    assert forgetting.forget(INBOUND) == 1
    proof = Consent.objects.get()
    assert (proof.kind, proof.text, proof.phone, proof.wa_id) == ("stop", "STOP", PHONE, "STOP")
    assert Contact.objects.get() == proof.contact
    with pytest.raises(OptedOut):
        messages.enqueue(session=session, to=PHONE, body="offer")


# --- Activity logs


def test_old_lines_of_the_activity_log_go(session: Session) -> None:
    logged(session, days=31)
    young = logged(session, days=29)
    assert forgetting.forget(SESSION_EVENTS) == 1
    assert SessionEvent.objects.exclude(kind="created").get() == young


def test_what_is_on_its_way_to_a_connection_goes_too(session: Session) -> None:
    for to in ("connecting", "linking"):
        logged(session, "state", to=to)
    assert forgetting.forget(SESSION_EVENTS) == 2


def lock_told(session: Session, active: bool) -> None:
    data = {"active": active, "until": "2036-06-01T12:00:00+00:00" if active else None, "kind": ""}
    inbound.record(bridge="b", events=[event(session, "number.restricted", timezone.now(), **data)])


def test_webhooks_still_hear_what_changes_after_a_long_time(session: Session, webhook: Webhook) -> None:
    """They are told the end of a restriction whose beginning is long past, and not once more that a number is connected."""
    lock_told(session, active=True)
    logged(session, "state", to="connected")
    logged(session, "state", to="connecting")
    WebhookDelivery.objects.all().delete()
    SessionEvent.objects.update(at=ago(days=60))
    assert forgetting.forget(SESSION_EVENTS) == 2  # connecting, and that the session was made
    lock_told(session, active=True)
    logged(session, "state", days=0, to="connected")
    assert not WebhookDelivery.objects.exists()
    lock_told(session, active=False)
    assert WebhookDelivery.objects.get().topic == "session.restriction_changed"


# --- The admin's history


def test_what_people_did_to_messages_goes_and_no_other_history(session: Session) -> None:
    done(session, days=31)
    done(session, days=29)
    done(session, Contact, days=31)
    assert forgetting.forget(ADMIN_ENTRIES) == 1
    assert set(LogEntry.objects.values_list("content_type__model", flat=True)) == {"message", "contact"}


# --- A part at a time, beside the traffic


def test_it_goes_on_page_by_page_past_what_stays(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "PAGE", 3)
    waiting = [aged(session, "queued", days=100) for _ in range(4)]
    for days in range(40, 50):
        aged(session, days=days)
        written(session, str(days), days=days)
        logged(session, days=days)
        done(session, days=days)
    assert forgotten() == [10, 10, 10, 10]
    assert kept() == waiting


def test_what_there_is_no_time_for_is_left_to_the_next_run(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "PAGE", 3)
    monkeypatch.setattr(forgetting, "RUN_S", 0)
    for days in range(40, 44):
        aged(session, days=days)
    assert [forgetting.forget(MESSAGES) for _ in range(3)] == [3, 1, 0]


def test_twice_at_once_is_once(transactional_db: None, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "PAGE", 5)
    for number in range(40):
        aged(session, days=40 + number)
        written(session, str(number), days=40 + number)
        logged(session, days=40 + number)
        done(session, days=40 + number)
    SessionEvent.objects.filter(kind="created").delete()
    both = in_threads(2, lambda _: forgotten())
    forgotten()  # what one of them was passing over when the other held it
    assert all(sum(counts) <= 40 for counts in zip(*both, strict=True))
    assert not (Message.objects.exists() or MessageEvent.objects.exists())
    assert not (InboundMessage.objects.exists() or SessionEvent.objects.exists() or LogEntry.objects.exists())


def test_it_waits_for_nobody(transactional_db: None, session: Session) -> None:
    """A receipt may be coming for one of them at this moment."""
    held, free = aged(session, "sent"), aged(session, "sent")
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as receipts:
        receipts.execute("SELECT id FROM message WHERE id = %s FOR UPDATE", [held.pk])
        assert forgetting.forget(MESSAGES) == 1
        assert kept() == [held] and not free.events.exists()
        receipts.rollback()
    assert forgetting.forget(MESSAGES) == 1


MANY = 20_000
_OLD_ID = "(lpad(to_hex((extract(epoch FROM now() - interval '60 days') * 1000)::bigint + n), 12, '0') || repeat('0', 20))::uuid"


def pile_up_old(session: Session) -> None:
    """Of every kind very many that are old, and as many that are not."""
    old = "now() - interval '59 days'"
    pile_up(session, MANY, id=_OLD_ID, status="'read'", created_at=old, not_before=old, status_at=old)
    pile_up(session, MANY, id="uuidv7()", status="'read'", wa_id="'3EB1' || n")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO message_event (message_id, at, status, detail)"
            " SELECT m.id, m.status_at, s, '{}' FROM message m, unnest(ARRAY['queued', 'sent', 'read']) AS s"
        )
        for identity, at, prefix in ((_OLD_ID, old, "A"), ("uuidv7()", "now()", "B")):
            cursor.execute(
                "INSERT INTO inbound_message"
                " (id, restaurant_id, session_id, chat, sender, wa_id, kind, text, sent_at, created_at)"
                f" SELECT {identity}, %s, %s, '1@lid', '1@lid', '{prefix}' || n, 'text', 'hi', {at}, {at}"
                " FROM generate_series(1, %s) AS n",
                [session.restaurant_id, session.pk, MANY],
            )
            cursor.execute(
                "INSERT INTO wa_session_event (session_id, at, kind, detail)"
                f" SELECT %s, {at} + n * interval '1 ms', 'state', '{{\"to\": \"connected\"}}' FROM generate_series(1, %s) AS n",
                [session.pk, MANY],
            )
    know_many(session, 1)


def page_of(kind: forgetting.Kind) -> Callable[[], object]:
    until = ago(days=30)
    return lambda: forgetting.forget_page(kind, until=until)


def test_a_page_reads_no_more_than_itself(session: Session) -> None:
    """However much is old, and however much is not."""
    pile_up_old(session)
    assert forgetting.forget_page(MESSAGES, until=ago(days=30)).gone == PAGE
    reads = explained(page_of(MESSAGES))
    assert rows_read(reads, "message") <= 3 * PAGE and rows_read(reads, "message_event") <= 6 * PAGE
    assert rows_read(explained(page_of(INBOUND), "inbound_message"), "inbound_message") <= 3 * PAGE
    assert rows_read(explained(page_of(SESSION_EVENTS), "wa_session_event"), "wa_session_event") <= 5 * PAGE


# --- For whom it is gone


def test_the_api_does_not_know_it_any_more(session: Session) -> None:
    _, key = api_keys.issue(restaurant=session.restaurant, name="till", scopes=api_keys.ALL_SCOPES)
    client, message = ApiClient(key), aged(session)
    forgetting.forget(MESSAGES)
    problem(client.get(f"/messages/{message.pk}"), 404, "not_found")
    for verb in ("cancel", "confirm", "send-again"):
        problem(client.post(f"/messages/{message.pk}/{verb}"), 404, "not_found")


@pytest.mark.parametrize("path", ["/messages", "/inbound"])
def test_a_list_that_is_being_read_goes_on(session: Session, path: str) -> None:
    _, key = api_keys.issue(restaurant=session.restaurant, name="till", scopes=api_keys.ALL_SCOPES)
    client = ApiClient(key)
    for days in (50, 40, 20, 10):
        aged(session, days=days)
        written(session, str(days), days=days)
    first = json.loads(client.get(path, query={"limit": 1}).content)
    forgotten()
    second = json.loads(client.get(path, query={"limit": 1, "cursor": first["next_cursor"]}).content)
    assert len(first["items"]) == len(second["items"]) == 1
    assert first["next_cursor"] and second["next_cursor"] is None


@pytest.mark.parametrize(
    "verb",
    [
        lambda message: messages.cancel(message=message),
        lambda message: messages.confirm(message=message, by="test"),
        lambda message: messages.send_again(message=message, by="test"),
    ],
    ids=["cancel", "confirm", "send_again"],
)
def test_what_goes_while_somebody_decides_is_told_as_gone(session: Session, verb: Callable[[Message], object]) -> None:
    message = aged(session)
    forgetting.forget(MESSAGES)
    with pytest.raises(NotFound):
        verb(message)
