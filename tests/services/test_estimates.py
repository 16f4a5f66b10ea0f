from datetime import timedelta
from zoneinfo import ZoneInfo

from django.utils import timezone
from pytest_django import Settings

from sessions_app.models import Contact, Message, Restaurant, SendTally, Session
from sessions_app.services import estimates, messages
from tests.support import owning
from tests.support.claiming import pile_up
from tests.support.owning import expire, queued, register

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


def connected(session: Session) -> Session:
    """And long past its warm-up."""
    now = timezone.now()
    Session.objects.update(state="connected", linked_at=now, first_linked_at=now - timedelta(days=300))
    session.refresh_from_db()
    return session


def test_a_stranger_waits_for_the_regulars_before_them(session: Session) -> None:
    """They are claimed in the order of acceptance, whatever their lane; a mean pause of six seconds each."""
    connected(session)
    for _ in range(100):
        queued(session, lane=Message.Lane.WARM)
    stranger = queued(session, lane=Message.Lane.NEW)
    regular = queued(session, lane=Message.Lane.WARM)
    estimate = estimates.for_message(message=stranger)
    assert (estimate.position, estimate.reason) == (1, "queue")
    assert estimate.delay_ms is not None and 590_000 <= estimate.delay_ms <= 610_000
    regulars = estimates.for_message(message=regular)
    assert regulars.position == 101 and regulars.delay_ms is not None and 590_000 <= regulars.delay_ms <= 610_000


def test_at_night_a_stranger_waits_for_the_regulars_before_them_too(session: Session) -> None:
    """All lanes are held until the morning, and open together then."""
    connected(session)
    local = timezone.now().astimezone(ZoneInfo(session.restaurant.time_zone))
    opens = (local + timedelta(hours=2)).replace(minute=0, second=0, microsecond=0)
    Restaurant.objects.update(quiet_from=(local - timedelta(hours=1)).time(), quiet_until=opens.time())
    for _ in range(100):
        queued(session, lane=Message.Lane.WARM)
    estimate = estimates.for_message(message=Message.objects.get(pk=queued(session, lane=Message.Lane.NEW).pk))
    assert estimate.send_at is not None and opens + 590 * SECOND <= estimate.send_at <= opens + 610 * SECOND
    assert (estimate.reason, estimate.until) == ("quiet_hours", opens)


def test_lanes_that_are_held_are_nobody_s_wait(session: Session) -> None:
    connected(session)
    Restaurant.objects.update(daily_limit=1)
    now = timezone.now()
    quarter = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)
    SendTally.objects.create(session=session, quarter=quarter, lane=Message.Lane.WARM, sent=1)
    for _ in range(100):
        queued(session, lane=Message.Lane.WARM)
    estimate = estimates.for_message(message=queued(session, lane=Message.Lane.COLD))
    assert estimate.delay_ms is not None and estimate.delay_ms < 10_000


def test_a_list_tells_the_same_as_each_message(session: Session) -> None:
    connected(session)
    made = [queued(session, lane=lane) for lane in (Message.Lane.WARM, Message.Lane.NEW, Message.Lane.WARM)]
    listed = estimates.for_messages(messages=made)
    for message in made:
        one, other = listed[message.pk], estimates.for_message(message=message)
        assert (one.reason, one.position) == (other.reason, other.position)
        assert one.send_at and other.send_at and abs(one.send_at - other.send_at) < SECOND


def test_behind_very_many_a_list_does_not_say_when(session: Session) -> None:
    connected(session)
    pile_up(session, estimates.MAX_LISTED)
    last = queued(session)
    listed = estimates.for_messages(messages=[last])[last.pk]
    assert (listed.send_at, listed.until, listed.reason) == (None, None, "queue")
    assert estimates.for_message(message=last).send_at is not None


def test_what_a_person_has_to_end_has_no_end_in_a_list_either(session: Session) -> None:
    waiting = queued(session)
    listed = estimates.for_messages(messages=[waiting])[waiting.pk]
    assert (listed.reason, listed.until, listed.send_at) == ("not_linked", None, None)


def test_without_a_worker_nobody_knows_when(session: Session) -> None:
    """Nobody is left to say that it is not connected any more."""
    owning.connected(session, register())
    session.refresh_from_db()
    message = queued(session)
    assert estimates.for_message(message=message).send_at is not None
    expire()
    estimate = estimates.for_message(message=message)
    assert (estimate.reason, estimate.send_at, estimate.until) == ("no_worker", None, None)
    Session.objects.update(owner=None, state="disconnected")  # the last one has let go
    message = Message.objects.get()
    assert estimates.for_message(message=message).reason == "no_worker"


def test_a_connection_that_is_made_again_later_holds_it_until_then(session: Session) -> None:
    owning.connected(session, register())
    later = timezone.now() + timedelta(minutes=30)
    Session.objects.update(state="disconnected", retry_at=later)
    session.refresh_from_db()
    estimate = estimates.for_message(message=queued(session, lane=Message.Lane.WARM))
    assert (estimate.reason, estimate.until) == ("disconnected", later)
    assert estimate.send_at is not None and estimate.send_at >= later


def test_what_is_never_sent_again_holds_up_nobody(session: Session) -> None:
    """Its customer has opted out, or it was another number's."""
    connected(session)
    now = timezone.now()
    queued(session, status="uncertain", not_before=now + timedelta(minutes=4), sending_at=now, to_phone=TO)
    behind = queued(session, lane=Message.Lane.WARM, to_phone="+4915187654321")
    assert estimates.for_message(message=behind).reason == "queue"
    customer = Contact.objects.create(restaurant=session.restaurant, session=session, phone=TO, opted_out_at=now)
    assert estimates.for_message(message=Message.objects.get(pk=behind.pk)).reason == "next"
    customer.delete()
    Session.objects.update(history_since=now + SECOND)
    assert estimates.for_message(message=Message.objects.get(pk=behind.pk)).reason == "next"


def test_nothing_goes_before_a_message_without_an_answer_is_sent_again(session: Session, restaurant: Restaurant) -> None:
    connected(session)
    later = timezone.now() + timedelta(minutes=4)
    queued(session, status="uncertain", not_before=later, sending_at=timezone.now())
    behind = queued(session, lane=Message.Lane.WARM)
    estimate = estimates.for_message(message=behind)
    assert (estimate.reason, estimate.position) == ("queue", 1)
    assert estimate.send_at is not None and estimate.send_at >= later
    Restaurant.objects.update(resend_uncertain=False)  # then it waits for a person, and holds up nobody
    assert estimates.for_message(message=Message.objects.get(pk=behind.pk)).reason == "next"
