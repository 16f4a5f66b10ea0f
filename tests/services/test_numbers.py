"""Another number linked into a session: nothing of the one before is held for it."""

from typing import Any

import pytest
from django.db import connection

from sessions_app.errors import Conflict
from sessions_app.models import Message, SendTally, Session, SessionEvent
from sessions_app.policy.lanes import LANES
from sessions_app.services import claims, messages, numbers, outlook, risk, session_state, sessions
from sessions_app.services.ownership import Claimed, Registration
from sessions_app.services.session_state import Truth
from tests.services.test_lanes import enqueue
from tests.support.claiming import claim, contact, fresh, sent, settle
from tests.support.claiming import numbers as many
from tests.support.owning import ago, connected, queued, timeline

FIRST, SECOND = "+4915199999991", "+4915199999992"


def log_out(me: Registration, mine: Claimed, phone: str = "", lid: str = "") -> None:
    """With what is remembered of it: its number is, when its phone did it."""
    over = Truth(session=mine.session, term=mine.term, state="unlinked", phone=phone, lid=lid)
    session_state.write_truths(worker=me.worker, truths=[over])


def link(me: Registration, mine: Claimed, phone: str, lid: str = "") -> Session:
    now = Truth(session=mine.session, term=mine.term, state="connected", linked=True, phone=phone, lid=lid)
    while session_state.write_truths(worker=me.worker, truths=[now]).unready:
        pass
    return Session.objects.get(pk=mine.session)


def leave_unanswered(session: Session, me: Registration, mine: Claimed) -> Message:
    message = queued(session)
    got = claim(me, mine)
    assert got is not None
    settle(me, got, "uncertain", code="ack_timeout")
    return fresh(message)


def test_what_another_number_left_unanswered_is_not_sent_again(session: Session, me: Registration, mine: Claimed) -> None:
    link(me, mine, FIRST)
    unanswered = leave_unanswered(session, me, mine)
    log_out(me, mine)
    link(me, mine, SECOND)
    assert claim(me, mine) is None
    unanswered = fresh(unanswered)
    assert (unanswered.status, unanswered.error_code) == ("failed", "unconfirmed")
    assert unanswered.events.last().detail == {"reason": "number_replaced"}  # type: ignore[union-attr]


def test_it_waits_for_a_person_where_one_is_to_decide(session: Session, me: Registration, mine: Claimed) -> None:
    link(me, mine, FIRST)
    type(session.restaurant).objects.update(resend_uncertain=False)
    unanswered = leave_unanswered(session, me, mine)
    log_out(me, mine)
    link(me, mine, SECOND)
    assert fresh(unanswered).status == "uncertain"


def test_nobody_has_the_new_number_send_what_the_one_before_left_unanswered(
    session: Session, me: Registration, mine: Claimed
) -> None:
    """Neither by a button nor by switching resending on: the customer may see it twice. What else waits goes on."""
    link(me, mine, FIRST)
    type(session.restaurant).objects.update(resend_uncertain=False)
    unanswered = leave_unanswered(session, me, mine)
    Message.objects.update(sending_at=ago(seconds=5))
    log_out(me, mine)
    link(me, mine, SECOND)
    with pytest.raises(Conflict, match="handed over by another number"):
        messages.send_again(message=fresh(unanswered), by="test")
    assert fresh(unanswered).status == "uncertain"
    type(session.restaurant).objects.update(resend_uncertain=True)
    assert claims.ready(worker=me.worker, sessions=[session.pk]) == []
    assert claim(me, mine) is None
    queued(session, "from the new number")
    assert sent(me, mine) == "from the new number"
    assert messages.confirm(message=unanswered, by="test").status == "sent"


def test_nor_what_somebody_had_the_one_before_send_again(session: Session, me: Registration, mine: Claimed) -> None:
    """Of what waits, this alone has been handed over already."""
    link(me, mine, FIRST)
    type(session.restaurant).objects.update(resend_uncertain=False)
    unanswered = leave_unanswered(session, me, mine)
    messages.send_again(message=unanswered, by="test")
    waiting = queued(session, "of nobody yet")
    log_out(me, mine)
    link(me, mine, SECOND)
    unanswered = fresh(unanswered)
    assert (unanswered.status, unanswered.error_code) == ("failed", "unconfirmed")
    assert fresh(waiting).status == "queued"
    assert sent(me, mine) == "of nobody yet"


def test_what_it_leaves_unanswered_itself_is_sent_again(session: Session, me: Registration, mine: Claimed) -> None:
    link(me, mine, FIRST)
    log_out(me, mine)
    link(me, mine, SECOND)
    type(session.restaurant).objects.update(resend_uncertain=False)
    unanswered = leave_unanswered(session, me, mine)
    messages.send_again(message=unanswered, by="test")
    assert (got := claim(me, mine)) is not None and got.message == unanswered.pk


@pytest.mark.parametrize(
    ("kept", "phone", "lid"),
    [
        (("", ""), FIRST, "1@lid"),  # logged out here, and linked again
        ((FIRST, "1@lid"), FIRST, "1@lid"),  # logged out on the phone
        ((FIRST, "1@lid"), SECOND, "1@lid"),  # the account has moved to another number
    ],
)
def test_the_same_number_goes_on(
    session: Session, me: Registration, mine: Claimed, kept: tuple[str, str], phone: str, lid: str
) -> None:
    link(me, mine, FIRST, "1@lid")
    Session.objects.update(declared_days=9, first_linked_at=(since := ago(days=40)))
    unanswered = leave_unanswered(session, me, mine)
    log_out(me, mine, *kept)
    now = link(me, mine, phone, lid)
    assert (now.declared_days, now.first_linked_at, now.history_phone) == (9, since, phone)
    got = claim(me, mine)
    assert got is not None and (got.message, got.resend) == (unanswered.pk, True)


def test_its_warm_up_begins_and_no_restriction_is_inherited(session: Session, me: Registration, mine: Claimed) -> None:
    link(me, mine, FIRST)
    Session.objects.update(
        first_linked_at=ago(days=40), declared_days=9, declared_on=ago(days=1).date(), standing={"refused": []}
    )
    log_out(me, mine)
    now = link(me, mine, SECOND)
    assert now.first_linked_at is not None and now.first_linked_at > ago(minutes=1)
    assert (now.declared_days, now.declared_on, now.standing, now.history_phone) == (None, None, {}, SECOND)
    assert [event.kind for event in now.events.all()].count("number_replaced") == 1
    link(me, mine, SECOND)
    assert now.events.filter(kind="number_replaced").count() == 1


def test_regulars_of_the_number_before_are_strangers_to_it(session: Session, me: Registration, mine: Claimed) -> None:
    link(me, mine, FIRST)
    contact(session, last_inbound_at=ago(minutes=5), last_outbound_at=ago(minutes=4))
    waiting, planned = queued(session), queued(session, status="scheduled", not_before=ago(minutes=-5))
    answer = queued(session, exempt=True)
    log_out(me, mine)
    link(me, mine, SECOND)
    assert [fresh(one).lane for one in (waiting, planned, answer)] == [2, 2, 0]
    session.refresh_from_db()
    assert enqueue(session).lane == Message.Lane.NEW
    session.contacts.update(last_inbound_at=ago(seconds=-1))
    assert enqueue(session).lane == Message.Lane.WARM


def test_who_does_not_protect_strangers_has_none(session: Session, me: Registration, mine: Claimed) -> None:
    link(me, mine, FIRST)
    type(session.restaurant).objects.update(protect_strangers=False)
    waiting = queued(session)
    log_out(me, mine)
    link(me, mine, SECOND)
    assert fresh(waiting).lane == Message.Lane.WARM
    assert sent(me, mine) and timeline(waiting) == ["sending", "sent"]


def test_a_backlog_of_any_length_is_ranked_before_anything_of_it_may_go(
    session: Session, me: Registration, mine: Claimed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbers, "RANKED_ANEW", 2)
    link(me, mine, FIRST)
    for _ in range(5):
        queued(session), queued(session, status="scheduled", not_before=ago(minutes=-5))
    log_out(me, mine)
    unranked: list[int] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "state = t.state" in sql:  # from now on it is connected
            unranked.append(Message.objects.exclude(lane=Message.Lane.NEW).count())
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        link(me, mine, SECOND)
    assert unranked == [0]


def test_a_long_backlog_holds_up_no_other_sessions_truth(
    session: Session, me: Registration, mine: Claimed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call ranks one part of it, and everything else that the worker writes comes in between."""
    monkeypatch.setattr(numbers, "RANKED_ANEW", 2)
    link(me, mine, FIRST)
    for _ in range(5):
        queued(session)
    log_out(me, mine)
    theirs = connected(sessions.create(restaurant=session.restaurant, name="other"), me)
    truths = [
        Truth(session=mine.session, term=mine.term, state="connected", linked=True, phone=SECOND),
        Truth(session=theirs.session, term=theirs.term, state="connected", linked=True, phone="+4915199999993"),
    ]
    outcomes = [session_state.write_truths(worker=me.worker, truths=truths) for _ in range(3)]
    assert outcomes == [({theirs.session}, {mine.session})] * 2 + [({mine.session, theirs.session}, set())]
    assert set(session.messages.values_list("lane", flat=True)) == {Message.Lane.NEW}
    session.refresh_from_db()
    assert (session.state, session.phone) == ("connected", SECOND)


def test_what_whatsapp_refused_the_number_before_holds_nothing_of_it(session: Session, me: Registration, mine: Claimed) -> None:
    link(me, mine, FIRST)
    later: dict[str, Any] = {"hold_until": ago(days=-13), "not_before": ago(days=-13)}
    contact(session, refusals=3, parked_until=later["hold_until"])
    held = queued(session, lane=Message.Lane.NEW, hold_reason="contact_parked", **later)
    for_its_own_sake = queued(session, lane=Message.Lane.NEW, hold_reason="no_devices", **later)
    log_out(me, mine)
    link(me, mine, SECOND)
    got = claim(me, mine)
    assert got and (got.message, got.status, got.refusals) == (held.pk, "sending", 0)
    assert (fresh(for_its_own_sake).hold_reason, for_its_own_sake.hold_until) == ("no_devices", later["hold_until"])


def test_what_the_number_before_sent_today_is_no_part_of_its_budget(session: Session, me: Registration, mine: Claimed) -> None:
    link(me, mine, FIRST)
    SendTally.objects.create(session=session, quarter=ago(minutes=1), lane=Message.Lane.NEW, sent=60)
    log_out(me, mine)
    link(me, mine, SECOND)
    now = outlook.of_session(Session.objects.select_related("restaurant").get())
    today = now.today(LANES[Message.Lane.NEW])
    assert (today.day.used, today.hour.used) == (0, 0)


def test_its_risk_is_its_own(session: Session, me: Registration, mine: Claimed) -> None:
    link(me, mine, FIRST)
    for to in many(3):
        queued(session, "offer", lane=Message.Lane.COLD, status="sent", sent_at=ago(days=1), to_phone=to)
    SessionEvent.objects.create(session=session, at=ago(days=1), kind="number_restricted", detail={"active": True})
    log_out(me, mine)
    link(me, mine, SECOND)
    now = Session.objects.select_related("restaurant").get()
    assert {one.code for one in risk.of_session(now, outlook.of_session(now)).reasons} <= {"young", "warming_up"}
