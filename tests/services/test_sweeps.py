"""What passes by itself."""

import pytest

from sessions_app.models import IdempotencyRecord, Message, Restaurant, Session, SessionEvent, Worker
from sessions_app.services import messages, ownership, sessions, sweeps
from tests.support.claiming import explained, know_many, pile_up, rows_read
from tests.support.owning import ago, connected, expire, linked, queued, register, timeline


def test_scheduled_messages_come_due(session: Session) -> None:
    due, later = (
        queued(session, status="scheduled", not_before=ago(seconds=1)),
        queued(session, status="scheduled", not_before=ago(seconds=-60)),
    )
    assert sweeps.release_scheduled() == [session.pk]
    due.refresh_from_db()
    later.refresh_from_db()
    assert (due.status, later.status) == ("queued", "scheduled")
    assert timeline(due) == ["queued"]
    assert sweeps.release_scheduled() == []


def test_however_many_come_due_at_once_one_sweep_queues_them(
    session: Session, restaurant: Restaurant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "BATCH", 2)
    other = sessions.create(restaurant=restaurant, name="other")
    for n in range(5):
        queued(session if n else other, status="scheduled", not_before=ago(seconds=9 - n))
    assert set(sweeps.release_scheduled()) == {session.pk, other.pk}
    assert not Message.objects.filter(status="scheduled").exists()


def test_a_sweep_that_has_had_its_time_leaves_the_rest_to_the_next(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "BATCH", 2)
    monkeypatch.setattr(sweeps, "RELEASE_FOR_S", 0.0)
    for _ in range(5):
        queued(session, status="scheduled", not_before=ago(seconds=1))
    for left in (3, 1, 0):
        assert sweeps.release_scheduled() == [session.pk]
        assert Message.objects.filter(status="scheduled").count() == left


@pytest.mark.parametrize("status", ["queued", "scheduled"])
def test_old_messages_expire(session: Session, status: str) -> None:
    old, fresh = (
        queued(session, status=status, expires_at=ago(seconds=1)),
        queued(session, status=status, expires_at=ago(seconds=-60)),
    )
    assert sweeps.expire_messages() == 1
    old.refresh_from_db()
    fresh.refresh_from_db()
    assert (old.status, old.error_code, fresh.status) == ("expired", "expired", status)
    assert timeline(old) == ["expired"]


@pytest.mark.parametrize("status", ["sending", "uncertain", "sent", "delivered", "canceled"])
def test_what_was_handed_over_does_not_expire(session: Session, status: str) -> None:
    queued(session, status=status, expires_at=ago(seconds=1))
    assert sweeps.expire_messages() == 0


def test_the_unconfirmed_fail_after_a_day_unless_a_person_decides(session: Session) -> None:
    old = queued(session, status="uncertain", sending_at=ago(hours=25))
    queued(session, status="uncertain", sending_at=ago(hours=23))
    session.restaurant.resend_uncertain = False
    session.restaurant.save()
    assert sweeps.fail_unconfirmed() == 0
    session.restaurant.resend_uncertain = True
    session.restaurant.save()
    assert sweeps.fail_unconfirmed() == 1
    old.refresh_from_db()
    assert (old.status, old.error_code) == ("failed", "unconfirmed")


def test_codes_nobody_can_scan_any_more_disappear_without_a_worker(session: Session) -> None:
    Session.objects.update(state="linking", qr="old", link_until=ago(seconds=1))
    assert sweeps.expire_links() == 1
    session.refresh_from_db()
    assert (session.state, session.qr, session.link_until, session.state_reason) == ("unlinked", "", None, "link_expired")
    assert sweeps.expire_links() == 0
    assert SessionEvent.objects.get(kind="state").detail == {"to": "unlinked", "reason": "link_expired"}


@pytest.mark.parametrize("state", ["unlinked", "logged_out"])
def test_codes_left_in_another_state_disappear_and_nothing_is_told_of_it(session: Session, state: str) -> None:
    Session.objects.update(state=state, state_reason="kept", qr="old", pairing_code="ABCD1234", link_until=ago(seconds=1))
    assert sweeps.expire_links() == 0
    session.refresh_from_db()
    assert (session.state, session.state_reason) == (state, "kept")
    assert (session.qr, session.pairing_code, session.link_until) == ("", "", None)
    assert not SessionEvent.objects.filter(kind="state").exists()


def test_a_living_owner_ends_its_links_itself(session: Session) -> None:
    Session.objects.update(link_until=ago(seconds=-60))
    ownership.claim(me=register(), limit=1)
    Session.objects.update(state="linking", qr="shown", link_until=ago(seconds=1))
    assert sweeps.expire_links() == 0
    expire()
    assert sweeps.expire_links() == 1


def test_a_window_still_open_stays(session: Session) -> None:
    Session.objects.update(link_until=ago(seconds=-60))
    assert sweeps.expire_links() == 0


def test_a_linked_session_is_no_link_to_expire(session: Session) -> None:
    linked(session, state="connected", link_until=ago(seconds=1))
    assert sweeps.expire_links() == 0


def test_idempotency_records_are_forgotten_after_a_week(session: Session) -> None:
    for key, age in [("old", 8), ("fresh", 6)]:
        IdempotencyRecord.objects.create(restaurant=session.restaurant, key=key, fingerprint=b"", message=queued(session))
        IdempotencyRecord.objects.filter(key=key).update(created_at=ago(days=age))
    assert sweeps.forget_idempotency_records() == 1
    assert IdempotencyRecord.objects.get().key == "fresh"


def test_workers_long_gone_are_forgotten_unless_they_own_something(session: Session) -> None:
    linked(session)
    ownership.claim(me=register("owner@here"), limit=1)
    register("idle@here")
    Worker.objects.update(expires_at=ago(days=8))
    register("fresh@here")
    assert sweeps.forget_workers() == 1
    assert set(Worker.objects.values_list("name", flat=True)) == {"owner@here", "fresh@here"}


def test_a_session_whose_wake_up_was_lost_is_found(session: Session) -> None:
    me = register()
    connected(session, me)
    queued(session)
    assert sweeps.overlooked() == []  # its owner may just be about to look
    Message.objects.update(not_before=ago(seconds=6))
    assert sweeps.overlooked() == [session.pk]
    Session.objects.update(next_send_at=ago(seconds=-3))
    assert sweeps.overlooked() == []  # it keeps its pace
    Session.objects.update(next_send_at=None)
    Message.objects.update(not_before=ago(seconds=40))
    assert sweeps.overlooked() == []  # something holds it: its owner has looked many times
    Message.objects.update(not_before=ago(seconds=6))
    queued(session, status="sending")
    assert sweeps.overlooked() == []  # it is at work


def test_a_backlog_makes_no_sweep_slow(session: Session) -> None:
    """What waits for its turn is not looked through for what waits for a time."""
    pile_up(session, 20_000, expires_at="now() + interval '1 hour'")
    know_many(session, 1)
    for sweep in (sweeps.release_scheduled, sweeps.expire_messages, sweeps.doubt_left_behind):
        assert rows_read(explained(sweep), "message") < 10, sweep


def test_what_came_back_to_the_queue_of_a_deleted_session_is_canceled(session: Session, restaurant: Restaurant) -> None:
    kept = queued(sessions.create(restaurant=restaurant, name="other"))
    late = queued(session)
    Session.objects.filter(pk=session.pk).update(deleted_at=ago(seconds=5))
    assert sweeps.cancel_left_behind() == 1
    late.refresh_from_db()
    kept.refresh_from_db()
    assert (late.status, kept.status) == ("canceled", "queued")
    assert timeline(late) == ["canceled"]
    assert sweeps.cancel_left_behind() == 0


def test_so_it_is_where_the_owner_died_without_giving_it_up(session: Session) -> None:
    connected(session, register())
    late = queued(session)
    Session.objects.update(deleted_at=ago(seconds=5), linked_at=None)
    assert sweeps.cancel_left_behind() == 0  # its owner may have it under way
    expire()
    assert sweeps.cancel_left_behind() == 1
    late.refresh_from_db()
    assert late.status == "canceled"


def test_nor_does_the_next_process_of_that_name_own_it(session: Session) -> None:
    connected(session, register())
    queued(session)
    Session.objects.update(deleted_at=ago(seconds=5), linked_at=None)
    register()
    assert sweeps.cancel_left_behind() == 1


# --- Under way when its owner ended


def left_unlinked(session: Session) -> Message:
    """A send was under way when the phone logged the number out; the worker was killed once the row said so."""
    owner = connected(session, register())
    message = queued(session, status="sending", sending_at=ago(seconds=5), claimed_term=owner.term)
    Session.objects.update(linked_at=None, state="logged_out")
    return message


def test_what_an_unlinked_session_left_under_way_is_uncertain(session: Session) -> None:
    message = left_unlinked(session)
    assert sweeps.doubt_left_behind() == 0  # a living owner settles it
    expire()
    assert ownership.claim(me=register("w2@here"), limit=1) == []
    assert sweeps.doubt_left_behind() == 1
    message.refresh_from_db()
    assert (message.status, message.error_code, timeline(message)) == ("uncertain", "owner_lost", ["uncertain"])
    messages.send_again(message=message, by="test")  # a person may decide now
    assert sweeps.doubt_left_behind() == 0


def test_nor_does_the_next_process_of_its_owners_name_settle_it(session: Session) -> None:
    left_unlinked(session)
    register()
    assert sweeps.doubt_left_behind() == 1


def test_what_a_next_owner_will_find_is_left_to_it(session: Session) -> None:
    message = left_unlinked(session)
    expire()
    Session.objects.update(link_until=ago(seconds=-60))  # it is being linked again
    assert sweeps.doubt_left_behind() == 0
    assert ownership.claim(me=register("w2@here"), limit=1)
    message.refresh_from_db()
    assert message.status == "uncertain"
