from datetime import timedelta

from django.utils import timezone
from pytest_django import Settings

from sessions_app.models import Contact, Message, Session
from sessions_app.services import estimates, messages

SECOND = timedelta(seconds=1)
TO = "+4915112345678"


def enqueue(session: Session, priority: str = "normal") -> Message:
    return messages.enqueue(session=session, to=TO, body="hi", priority=priority).message


def position(message: Message) -> int | None:
    return estimates.for_message(message=message).position


def test_its_position_counts_priority_then_acceptance(session: Session) -> None:
    low, first, second = enqueue(session, "low"), enqueue(session), enqueue(session)
    assert [position(message) for message in (low, first, second)] == [3, 1, 2]
    enqueue(session, "urgent")
    assert [position(message) for message in (low, first, second)] == [4, 2, 3]


def test_what_is_no_longer_queued_is_not_ahead(session: Session) -> None:
    gone, waiting = enqueue(session), enqueue(session)
    Message.objects.filter(pk=gone.pk).update(status="sending")
    assert position(waiting) == 1


def test_without_a_connection_nobody_knows_when(session: Session) -> None:
    estimate = estimates.for_message(message=enqueue(session))
    assert (estimate.position, estimate.send_at, estimate.delay_ms) == (1, None, None)


def test_a_connected_session_has_an_estimate(session: Session, settings: Settings) -> None:
    settings.PACE_MIN_DELAY_MS, settings.PACE_MAX_DELAY_MS = 2_000, 10_000
    session.state, session.next_send_at = "connected", timezone.now() + 30 * SECOND
    session.save()
    Contact.objects.create(restaurant=session.restaurant, session=session, phone=TO, last_inbound_at=timezone.now())
    enqueue(session)
    estimate = estimates.for_message(message=enqueue(session))
    assert estimate.send_at == session.next_send_at + 6 * SECOND
    assert estimate.delay_ms is not None and 35_000 < estimate.delay_ms <= 36_000


def test_afterwards_the_delay_is_the_one_that_was_applied(session: Session) -> None:
    message = enqueue(session)
    Message.objects.update(status="sent", delay_ms=4_321)
    message.refresh_from_db()
    assert estimates.for_message(message=message) == estimates.Estimate(None, None, 4_321)
