from datetime import timedelta
from threading import Event

import pytest
from django.db import transaction
from django.utils import timezone
from pytest_django import Settings

from sessions_app.errors import Conflict, InvalidPhone, NotFound
from sessions_app.models import Message, MessageEvent, Restaurant, Session, Worker
from sessions_app.services import messages, sessions
from sessions_app.services.sessions import InvalidName, SessionRequired
from tests.support.owning import ago, queued, timeline
from tests.support.stack import eventually
from tests.support.threads import at_once, somebody_waits


def linked(session: Session, **more: object) -> Session:
    Session.objects.filter(pk=session.pk).update(
        **{"linked_at": timezone.now(), "phone": "+4915199999999", "state": "connected", **more}
    )
    session.refresh_from_db()
    return session


def owned(session: Session, *, alive: bool) -> Session:
    now = timezone.now()
    expires = now + timedelta(seconds=6 if alive else -1)
    worker = Worker.objects.create(
        name="w1", queue="worker.w1", capacity=10, started_at=now, heartbeat_at=now, expires_at=expires
    )
    Session.objects.filter(pk=session.pk).update(owner=worker, term=1)
    session.refresh_from_db()
    return session


def kinds(session: Session) -> list[str]:
    return list(session.events.order_by("id").values_list("kind", flat=True))


def test_a_name_is_taken_once_in_a_restaurant(session: Session) -> None:
    with pytest.raises(Conflict, match="name"):
        sessions.create(restaurant=session.restaurant, name=" main ")
    sessions.delete(session=session)
    assert sessions.create(restaurant=session.restaurant, name="main").name == "main"


@pytest.mark.parametrize("name", ["", "  ", "x" * 81, "a\0b", "\ud800"])
def test_it_refuses_other_names(restaurant: Restaurant, name: str) -> None:
    with pytest.raises(InvalidName):
        sessions.create(restaurant=restaurant, name=name)


def test_linking_by_qr_opens_a_window(session: Session, settings: Settings) -> None:
    settings.LINK_WINDOW_S = 100
    sessions.link(session=session, actor="anna")
    assert session.desired == "online" and session.link_phone == ""
    assert session.link_until and timedelta(seconds=95) < session.link_until - timezone.now() <= timedelta(seconds=100)
    event = session.events.first()
    assert event and (event.kind, event.detail["by"], event.detail["method"]) == ("link_requested", "anna", "qr")


def test_linking_by_code_keeps_the_number_and_logs_it_masked(session: Session) -> None:
    sessions.link(session=session, phone="0151 12345678")
    assert session.link_phone == "+4915112345678"
    event = session.events.first()
    assert event and event.detail == {"method": "code", "phone": "+49151*****78"}


def test_linking_needs_a_real_number(session: Session) -> None:
    with pytest.raises(InvalidPhone):
        sessions.link(session=session, phone="+49")
    session.refresh_from_db()
    assert session.link_until is None


def test_a_linked_session_is_not_linked_again(session: Session) -> None:
    with pytest.raises(Conflict, match="log it out"):
        sessions.link(session=linked(session))


def test_linking_after_a_log_out_wants_it_online_again(session: Session) -> None:
    sessions.log_out(session=session)
    assert session.desired == "unlinked"
    sessions.link(session=session)
    assert session.desired == "online"


def test_stopping_to_link_without_an_owner_takes_the_code_away(session: Session) -> None:
    sessions.link(session=session)
    Session.objects.update(state="linking", qr="2@abc", qr_expires_at=timezone.now())
    session.refresh_from_db()
    sessions.stop_linking(session=session)
    assert (session.state, session.qr, session.link_until) == ("unlinked", "", None)


def test_stopping_to_link_leaves_the_truth_to_a_live_owner(session: Session) -> None:
    sessions.link(session=owned(session, alive=True))
    Session.objects.update(state="linking", qr="2@abc")
    session.refresh_from_db()
    sessions.stop_linking(session=session)
    assert (session.state, session.qr, session.link_until) == ("linking", "2@abc", None)


def test_stopping_to_link_what_nobody_links_changes_nothing(session: Session) -> None:
    before = kinds(session)
    sessions.stop_linking(session=session)
    assert kinds(session) == before


def test_restarting_counts_wishes(session: Session) -> None:
    linked(session)
    sessions.restart(session=session)
    sessions.restart(session=session)
    assert (session.restart_wish, session.restart_done) == (2, 0)


@pytest.mark.parametrize("verb", ["restart", "stop", "start"])
def test_an_unlinked_session_cannot_be_restarted_stopped_or_started(session: Session, verb: str) -> None:
    with pytest.raises(Conflict, match="linked"):
        getattr(sessions, verb)(session=session)


def test_stop_and_start_are_wishes(session: Session) -> None:
    linked(session)
    sessions.stop(session=session)
    assert (session.desired, session.state) == ("offline", "connected")
    with pytest.raises(Conflict, match="stopped"):
        sessions.restart(session=session)
    sessions.start(session=session)
    assert session.desired == "online"
    assert kinds(session) == ["created", "stop_requested", "start_requested"]


def test_a_wish_is_judged_by_the_row_and_not_by_the_callers_copy(session: Session) -> None:
    stale = Session.objects.get(pk=session.pk)
    linked(session)
    assert sessions.stop(session=stale).desired == "offline"


def test_logging_out_leaves_the_truth_to_the_owner_while_linked(session: Session) -> None:
    sessions.log_out(session=linked(session))
    assert (session.desired, session.state) == ("unlinked", "connected")
    assert session.linked_at is not None


@pytest.mark.parametrize("owner", ["none", "dead"])
def test_logging_out_what_is_not_linked_is_done_at_once(session: Session, owner: str) -> None:
    if owner == "dead":
        owned(session, alive=False)
    Session.objects.update(state="logged_out", state_reason="logged_out", qr="x")
    session.refresh_from_db()
    sessions.log_out(session=session)
    assert (session.state, session.state_reason, session.qr) == ("unlinked", "", "")


def test_deleting_cancels_what_waits_and_keeps_the_rest(session: Session) -> None:
    waiting = messages.enqueue(session=session, to="+4915112345678", body="waits").message
    sent = messages.enqueue(session=session, to="+4915112345678", body="sent").message
    Message.objects.filter(pk=sent.pk).update(status="sent")
    sessions.delete(session=linked(session))
    assert session.deleted_at is not None and session.desired == "unlinked"
    assert dict(Message.objects.values_list("pk", "status")) == {waiting.pk: "canceled", sent.pk: "sent"}
    event = MessageEvent.objects.get(status="canceled")
    assert (event.message_id, event.detail) == (waiting.pk, {"reason": "session_deleted"})
    with pytest.raises(NotFound):
        sessions.get(restaurant=session.restaurant, session_id=session.pk)


def test_a_long_queue_is_canceled_in_parts(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "CANCELED_AT_ONCE", 2)
    waiting = [queued(session) for _ in range(4)] + [queued(session, status="scheduled", not_before=ago(hours=-1))]
    sessions.delete(session=session)
    assert [timeline(message) for message in waiting] == [["canceled"]] * 5


@pytest.mark.django_db(transaction=True)
def test_nobody_waits_for_the_row_while_its_queue_is_canceled(session: Session) -> None:
    queued(session)
    held = Event()

    def hold() -> None:
        with transaction.atomic():
            list(Message.objects.select_for_update())
            held.set()
            eventually(somebody_waits, what="that it waits for the message")
            assert Session.objects.select_for_update(nowait=True).get().deleted_at

    def delete() -> None:
        assert held.wait(10)
        sessions.delete(session=session)

    assert at_once(hold, delete) == [None, None]
    assert Message.objects.get().status == "canceled"


@pytest.mark.parametrize("verb", ["link", "stop_linking", "restart", "stop", "start", "log_out", "delete"])
def test_nothing_can_be_asked_of_a_deleted_session(session: Session, verb: str) -> None:
    sessions.link(session=session)
    stale = Session.objects.get(pk=session.pk)
    sessions.delete(session=session)
    with pytest.raises(NotFound):
        getattr(sessions, verb)(session=stale)


def test_the_only_session_sends(session: Session) -> None:
    restaurant = session.restaurant
    assert sessions.for_sending(restaurant=restaurant, session_id=None) == session
    other = sessions.create(restaurant=restaurant, name="second")
    with pytest.raises(SessionRequired):
        sessions.for_sending(restaurant=restaurant, session_id=None)
    assert sessions.for_sending(restaurant=restaurant, session_id=other.pk) == other
    sessions.delete(session=other)
    sessions.delete(session=session)
    with pytest.raises(SessionRequired, match="no session"):
        sessions.for_sending(restaurant=restaurant, session_id=None)


def test_another_restaurants_session_does_not_exist(session: Session) -> None:
    stranger = Restaurant.objects.create(name="Stranger")
    with pytest.raises(NotFound):
        sessions.for_sending(restaurant=stranger, session_id=session.pk)
