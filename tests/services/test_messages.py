import json
import re
from datetime import timedelta

import pytest
from django.utils import timezone

from sessions_app.errors import Conflict, IdempotencyKeyReused, InvalidPhone, NotFound
from sessions_app.models import IdempotencyRecord, Message, MessageEvent, Session
from sessions_app.services import messages, sessions
from sessions_app.services.messages import Enqueued, InvalidMessage
from tests.support.claiming import know_many, nodes_of, pile_up, rows_read
from tests.support.owning import ago, queued
from tests.support.threads import at_once

TO = "+4915112345678"


def test_it_stores_the_message_with_its_first_event(session: Session) -> None:
    message = messages.enqueue(session=session, to="0151 12345678", body="Your pizza is ready", reference="order 7").message
    stored = Message.objects.get()
    assert (stored.to_phone, stored.body, stored.reference, stored.status) == (TO, "Your pizza is ready", "order 7", "queued")
    assert stored.restaurant_id == session.restaurant_id
    assert re.fullmatch(r"3EB0[0-9A-F]{18}", stored.wa_id)
    assert stored.seq == message.seq
    assert [event.status for event in messages.timeline(message=message)] == ["queued"]


def test_order_of_acceptance_is_the_databases(session: Session) -> None:
    made = [messages.enqueue(session=session, to=TO, body=str(number)).message.seq for number in range(3)]
    assert made == sorted(made) and len(set(made)) == 3


def test_a_later_time_schedules_it(session: Session) -> None:
    later = timezone.now() + timedelta(hours=1)
    message = messages.enqueue(session=session, to=TO, body="hi", not_before=later).message
    assert (message.status, message.not_before) == ("scheduled", later)
    past = messages.enqueue(session=session, to=TO, body="hi", not_before=timezone.now() - timedelta(hours=1)).message
    assert past.status == "queued"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"body": ""}, "text"),
        ({"body": " \n\t "}, "text"),
        ({"body": "x" * 4_001}, "text"),
        ({"body": "a\0b"}, "text"),
        ({"body": "\ud83d"}, "text"),
        ({"priority": "sometime"}, "priority"),
        ({"reference": "x" * 121}, "reference"),
        ({"reference": "a\0"}, "reference"),
        ({"expires_at": timezone.now() - timedelta(days=1)}, "expires_at"),
        ({"expires_at": timezone.now() + timedelta(days=400)}, "expires_at"),
    ],
)
def test_it_refuses_what_cannot_be_sent_and_stores_nothing(session: Session, wrong: dict[str, object], field: str) -> None:
    arguments: dict[str, object] = {"to": TO, "body": "hi", "idempotency_key": "k", "fingerprint": b"1", **wrong}
    with pytest.raises(InvalidMessage) as refused:
        messages.enqueue(session=session, **arguments)  # type: ignore[arg-type]
    assert refused.value.field == field
    assert not Message.objects.exists() and not IdempotencyRecord.objects.exists()


def test_it_refuses_a_wrong_number(session: Session) -> None:
    with pytest.raises(InvalidPhone):
        messages.enqueue(session=session, to="+49", body="hi")


def test_four_thousand_characters_fit_whatever_they_are(session: Session) -> None:
    body = "😀" * 4_000
    messages.enqueue(session=session, to=TO, body=body)
    assert Message.objects.get().body == body


def test_the_same_key_makes_one_message(session: Session) -> None:
    first = messages.enqueue(session=session, to=TO, body="hi", idempotency_key="k", fingerprint=b"1")
    again = messages.enqueue(session=session, to=TO, body="hi", idempotency_key="k", fingerprint=b"1")
    assert (first.replayed, again.replayed) == (False, True)
    assert again.message == first.message
    assert Message.objects.count() == MessageEvent.objects.count() == 1


def test_the_same_key_for_another_request_is_refused(session: Session) -> None:
    messages.enqueue(session=session, to=TO, body="hi", idempotency_key="k", fingerprint=b"1")
    with pytest.raises(IdempotencyKeyReused):
        messages.enqueue(session=session, to=TO, body="ho", idempotency_key="k", fingerprint=b"2")
    assert Message.objects.count() == 1


def test_the_same_key_in_another_restaurant_is_another_key(session: Session) -> None:
    other_restaurant = type(session.restaurant).objects.create(name="Other", default_region="DE")
    other = sessions.create(restaurant=other_restaurant, name="main")
    for each in (session, other):
        assert not messages.enqueue(session=each, to=TO, body="hi", idempotency_key="k", fingerprint=b"1").replayed


@pytest.mark.django_db(transaction=True)
def test_requests_at_the_same_moment_with_one_key_make_one_message(session: Session) -> None:
    def enqueue() -> Enqueued:
        return messages.enqueue(session=session, to=TO, body="hi", idempotency_key="k", fingerprint=b"1")

    answers = at_once(*[enqueue] * 8)
    assert all(isinstance(answer, Enqueued) for answer in answers), answers
    made = [answer for answer in answers if isinstance(answer, Enqueued)]
    assert sorted(answer.replayed for answer in made) == [False] + [True] * 7
    assert {answer.message.pk for answer in made} == {Message.objects.get().pk}


@pytest.mark.django_db(transaction=True)
def test_no_message_slips_into_a_session_while_it_is_deleted(session: Session) -> None:
    """Whoever comes first, nothing waits in a deleted session."""

    def enqueue() -> object:
        return messages.enqueue(session=Session.objects.select_related("restaurant").get(pk=session.pk), to=TO, body="hi")

    def delete() -> None:
        sessions.delete(session=Session.objects.get(pk=session.pk))

    *sent, deleted = at_once(*[enqueue] * 5, delete)
    assert deleted is None
    assert all(isinstance(answer, Enqueued | NotFound) for answer in sent), sent
    assert not Message.objects.exclude(status="canceled").exists()
    accepted = sum(isinstance(answer, Enqueued) for answer in sent)
    assert Message.objects.count() == accepted == MessageEvent.objects.filter(status="canceled").count()


def test_nothing_is_accepted_for_a_deleted_session(session: Session) -> None:
    sessions.delete(session=session)
    with pytest.raises(NotFound):
        messages.enqueue(session=session, to=TO, body="hi")


@pytest.mark.parametrize("status", ["queued", "scheduled"])
def test_a_waiting_message_can_be_canceled(session: Session, status: str) -> None:
    message = messages.enqueue(session=session, to=TO, body="hi").message
    Message.objects.update(status=status, hold_reason="quiet_hours", hold_until=timezone.now())
    canceled = messages.cancel(message=message)
    assert (canceled.status, canceled.hold_reason, canceled.hold_until) == ("canceled", "", None)
    assert [event.status for event in messages.timeline(message=message)] == ["queued", "canceled"]


@pytest.mark.parametrize("status", ["sending", "uncertain", "sent", "read", "failed", "canceled", "expired"])
def test_any_other_cannot(session: Session, status: str) -> None:
    message = messages.enqueue(session=session, to=TO, body="hi").message
    Message.objects.update(status=status)
    with pytest.raises(Conflict, match=status):
        messages.cancel(message=message)
    assert Message.objects.get().status == status
    assert MessageEvent.objects.count() == 1


@pytest.mark.parametrize("status", ["sent", "delivered", "failed"])
def test_a_page_of_one_status_reads_nothing_else(session: Session, status: str) -> None:
    pile_up(session, 5_000, status="'read'", sent_at="now()")
    for _ in range(3):
        queued(session, status=status, sent_at=ago(hours=1))
    know_many(session, 1)
    page = Message.objects.filter(restaurant=session.restaurant, status=status).order_by("-seq")[:50]
    [plan] = json.loads(page.explain(format="json", analyze=True))
    assert rows_read(list(nodes_of(plan["Plan"])), "message") == 3
