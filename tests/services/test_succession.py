"""A number that is linked in a new session brings its customers along: above all those who want no more messages."""

from typing import Any

import pytest

from sessions_app.models import Contact, Message, Restaurant, SendTally, Session
from sessions_app.services import messages, session_state, sessions, succession
from sessions_app.services.messages import OptedOut
from sessions_app.services.ownership import Claimed, Registration
from sessions_app.services.session_state import Truth
from tests.support.claiming import PHONE, contact, fresh, numbers
from tests.support.owning import ago, connected, queued

NUMBER, ANOTHER = "+4915199999991", "+4915199999992"


@pytest.fixture
def before(restaurant: Restaurant) -> Session:
    """It had the number for forty days, and was deleted."""
    made = sessions.create(restaurant=restaurant, name="before")
    sessions.delete(session=made)
    known: dict[str, Any] = {
        "history_phone": NUMBER,
        "first_linked_at": ago(days=40),
        "declared_days": 9,
        "standing": {"refused": []},
    }
    Session.objects.filter(pk=made.pk).update(**known)
    made.refresh_from_db()
    return made


def link(me: Registration, mine: Claimed, phone: str = NUMBER) -> int:
    """How often its owner says so."""
    now = Truth(session=mine.session, term=mine.term, state="connected", linked=True, phone=phone)
    for calls in range(1, 20):
        if not session_state.write_truths(worker=me.worker, truths=[now]).unready:
            return calls
    raise AssertionError("it is never ready")


def test_who_has_opted_out_of_a_number_has_opted_out_of_it_in_a_new_session(
    before: Session, session: Session, me: Registration, mine: Claimed
) -> None:
    contact(before, opted_out_at=ago(days=1))
    link(me, mine)
    with pytest.raises(OptedOut):
        messages.enqueue(session=session, to=PHONE, body="offer")


def test_regulars_stay_regulars_and_what_waits_for_them_follows(
    before: Session, session: Session, me: Registration, mine: Claimed
) -> None:
    regular, written, stranger = numbers(3)
    contact(before, regular, last_inbound_at=ago(days=2))
    contact(before, written, last_outbound_at=ago(days=2))
    waiting = [queued(session, to_phone=to, lane=Message.Lane.NEW) for to in (regular, written, stranger)]
    link(me, mine)
    assert [fresh(one).lane for one in waiting] == [Message.Lane.WARM, Message.Lane.COLD, Message.Lane.NEW]


def test_what_is_known_of_the_number_goes_along(before: Session, session: Session, me: Registration, mine: Claimed) -> None:
    SendTally.objects.create(session=before, quarter=ago(hours=1), lane=Message.Lane.NEW, sent=7)
    link(me, mine)
    session.refresh_from_db()
    assert (session.first_linked_at, session.declared_days, session.standing) == (before.first_linked_at, 9, {"refused": []})
    assert (session.history_phone, session.tallies.get().sent) == (NUMBER, 7)
    assert [event.kind for event in session.events.all()].count("number_moved_here") == 1
    before.refresh_from_db()
    assert before.history_phone == ""


def test_many_customers_move_a_part_at_a_time(
    before: Session, session: Session, me: Registration, mine: Claimed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(succession, "MOVED_AT_ONCE", 2)
    for phone in numbers(5):
        contact(before, phone)
    assert link(me, mine) == 4
    assert session.contacts.count() == 5


def test_whom_the_new_session_knows_already_stays_known(
    before: Session, session: Session, me: Registration, mine: Claimed
) -> None:
    contact(before, name="before", lid="1@lid"), contact(session, name="now")
    link(me, mine)
    assert session.contacts.get().name == "now"


@pytest.mark.parametrize("why_not", ["another number", "another restaurant", "still linked", "has had a number"])
def test_nothing_of_others_comes_along(before: Session, session: Session, me: Registration, mine: Claimed, why_not: str) -> None:
    contact(before, opted_out_at=ago(days=1))
    if why_not == "another restaurant":
        Session.objects.filter(pk=before.pk).update(restaurant=Restaurant.objects.create(name="elsewhere", default_region="DE"))
    if why_not == "still linked":
        Session.objects.filter(pk=before.pk).update(deleted_at=None, linked_at=ago(days=1))
    if why_not == "has had a number":
        Session.objects.filter(pk=session.pk).update(history_phone=ANOTHER)
    link(me, mine, ANOTHER if why_not == "another number" else NUMBER)
    assert Contact.objects.get().session_id == before.pk


def test_it_comes_from_one_that_was_logged_out_too_and_goes_back(before: Session, session: Session, me: Registration) -> None:
    """Whichever of two has the number."""
    Session.objects.filter(pk=before.pk).update(deleted_at=None)
    contact(before, opted_out_at=ago(days=1))
    link(me, connected(session, me))
    assert session.contacts.count() == 1
    Session.objects.filter(pk=session.pk).update(linked_at=None)
    link(me, connected(before, me))
    assert before.contacts.count() == 1
