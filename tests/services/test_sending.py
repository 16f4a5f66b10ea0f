"""Claims and settlements: in order, one at a time, by the owner alone, and a status that only rises."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sessions_app.errors import Conflict
from sessions_app.models import Contact, Message, Restaurant, Session
from sessions_app.services import claims, messages, ownership, sending
from sessions_app.services.claims import Claim, Due
from sessions_app.services.ownership import Claimed, Registration
from sessions_app.services.settlements import Settlement
from tests.support.owning import ago, connected, expire, in_threads, linked_sessions, queued, register, timeline


def claim(me: Registration, *mine: Claimed) -> list[Claim]:
    return sending.tick(worker=me.worker, settlements=[], due=[Due(one.session, one.term) for one in mine])


def ready(me: Registration, session: Session) -> list[Any]:
    return [one.session for one in claims.ready(worker=me.worker, sessions=[session.pk])]


def settle(me: Registration, claim: Claim, status: str = "sent", **more: Any) -> None:
    now = timezone.now()
    values = {"to_phone": claim.to_phone, "lane": claim.lane, "status": status, "at": now, **more}
    one = Settlement(message=claim.message, session=claim.session, term=claim.term, **values)
    sending.tick(worker=me.worker, settlements=[one], due=[])


def test_a_claim_commits_the_attempt_before_anybody_hears_of_it(session: Session, me: Registration, mine: Claimed) -> None:
    message = queued(session, "your order", hold_reason="rate_limited", hold_until=ago(seconds=1))
    got = claim(me, mine)[0]
    assert (got.message, got.wa_id, got.body, got.attempt, got.resend) == (message.pk, message.wa_id, "your order", 1, False)
    message.refresh_from_db()
    assert (message.status, message.attempts, message.claimed_term) == ("sending", 1, mine.term)
    assert (message.hold_reason, message.hold_until) == ("", None)
    assert timeline(message) == ["sending"]


def test_what_came_of_it_is_counted_by_its_code_and_the_next_owner_knows(
    session: Session, me: Registration, mine: Claimed
) -> None:
    message = queued(session)
    for code in ["store_unavailable", "wa_479", "store_unavailable"]:
        again = claim(me, mine)[0]
        settle(me, again, "queued", code=code)
        settle(me, again, "queued", code=code)  # after a commit in doubt: it counts once
    settle(me, claim(me, mine)[0], "uncertain", code="ack_timeout")
    got = claim(me, mine)[0]
    assert got.tries == {"store_unavailable": 2, "wa_479": 1, "ack_timeout": 1}
    settle(me, got)
    message.refresh_from_db()
    assert (message.status, message.attempts, message.tries) == ("sent", 5, got.tries)


def test_one_message_of_a_session_is_under_way_at_a_time(session: Session, me: Registration, mine: Claimed) -> None:
    queued(session), queued(session)
    assert len(claim(me, mine)) == 1
    assert claim(me, mine) == []


def test_the_order_is_priority_then_acceptance(session: Session, me: Registration, mine: Claimed) -> None:
    for body, priority in [("third", 2), ("fourth", 2), ("first", 0), ("fifth", 3), ("second", 1)]:
        queued(session, body, priority=priority)
    order = []
    for _ in range(5):
        got = claim(me, mine)[0]
        order.append(got.body)
        settle(me, got)
    assert order == ["first", "second", "third", "fourth", "fifth"]


def test_what_is_not_due_or_too_old_is_passed_over(session: Session, me: Registration, mine: Claimed) -> None:
    queued(session, "later", not_before=ago(seconds=-60))
    queued(session, "too old", expires_at=ago(seconds=1))
    queued(session, "withdrawn", status="canceled")
    assert ready(me, session) == []
    assert claim(me, mine) == []
    queued(session, "now")
    assert ready(me, session) == [session.pk]
    assert [got.body for got in claim(me, mine)] == ["now"]


def test_a_clock_that_is_set_back_holds_nothing_that_was_due(session: Session, me: Registration, mine: Claimed) -> None:
    """Else what is accepted afterwards would overtake it."""
    accepted = ago(minutes=-1)
    first = queued(session, "accepted before", not_before=accepted, status_at=accepted)
    queued(session, "accepted afterwards")
    assert ready(me, session) == [session.pk]
    got = claim(me, mine)[0]
    assert got.message == first.pk
    settle(me, got, "uncertain", code="connection_lost")
    Message.objects.filter(pk=first.pk).update(status_at=accepted)
    assert ready(me, session) == [session.pk]
    assert claim(me, mine)[0].message == first.pk


def test_the_unanswered_goes_first_and_holds_up_the_rest_until_it_may(session: Session, me: Registration, mine: Claimed) -> None:
    queued(session, "urgent", priority=0)
    unanswered = queued(session, "unanswered", status="uncertain", attempts=1, not_before=ago(seconds=-60))
    assert claim(me, mine) == []
    Message.objects.filter(pk=unanswered.pk).update(not_before=ago(seconds=1))
    assert ready(me, session) == [session.pk]
    got = claim(me, mine)[0]
    assert (got.body, got.wa_id, got.resend, got.attempt) == ("unanswered", unanswered.wa_id, True, 2)


def test_without_resends_the_unanswered_waits_for_a_person_and_the_queue_goes_on(
    session: Session, me: Registration, mine: Claimed
) -> None:
    Restaurant.objects.update(resend_uncertain=False)
    queued(session, "unanswered", status="uncertain", attempts=1, not_before=ago(seconds=1))
    assert ready(me, session) == []
    queued(session, "next")
    assert [got.body for got in claim(me, mine)] == ["next"]


def test_nobody_but_the_owner_claims_under_its_term_while_connected(session: Session, me: Registration, mine: Claimed) -> None:
    queued(session)
    other = register("w2@here")
    assert claim(other, mine) == []
    assert claim(me, mine._replace(term=mine.term - 1)) == []
    Session.objects.update(state="disconnected")
    assert claim(me, mine) == []


def test_a_restaurant_that_is_switched_off_sends_nothing(session: Session, me: Registration, mine: Claimed) -> None:
    queued(session)
    Restaurant.objects.update(is_active=False)
    assert ready(me, session) == []
    assert claim(me, mine) == []


def test_a_deleted_session_sends_nothing_before_its_owner_knows(session: Session, me: Registration, mine: Claimed) -> None:
    queued(session)
    Session.objects.update(deleted_at=ago(seconds=0))
    assert claim(me, mine) == []


def test_one_statement_claims_for_many_sessions(restaurant: Restaurant, me: Registration) -> None:
    sessions = linked_sessions(restaurant, 20)
    mine = ownership.claim(me=me, limit=100)
    Session.objects.update(state="connected")
    for session in sessions:
        queued(session), queued(session)
    got = claim(me, *mine)
    assert sorted(one.session for one in got) == sorted(session.pk for session in sessions)


def test_the_customers_lid_goes_along(session: Session, me: Registration, mine: Claimed) -> None:
    Contact.objects.create(restaurant=session.restaurant, session=session, phone="+4915112345678", lid="77@lid")
    queued(session)
    assert claim(me, mine)[0].lid == "77@lid"


def test_the_pause_that_applied_is_kept_with_the_message(session: Session, me: Registration, mine: Claimed) -> None:
    first = queued(session)
    now = timezone.now()
    settle(me, claim(me, mine)[0], sent_at=now, next_send_at=now + timedelta(seconds=3), delay_ms=3_000)
    waited = queued(session)
    slot = Due(session.pk, mine.term, warm_slot=now + timedelta(seconds=3), warm_delay_ms=3_000)
    sending.tick(worker=me.worker, settlements=[], due=[slot])
    first.refresh_from_db()
    waited.refresh_from_db()
    assert (first.delay_ms, waited.delay_ms) == (0, 3_000)
    session.refresh_from_db()
    assert (session.last_sent_at, session.next_send_at, session.next_delay_ms) == (now, now + timedelta(seconds=3), 3_000)


def test_a_settlement_writes_status_timeline_and_address(session: Session, me: Registration, mine: Claimed) -> None:
    message = queued(session)
    settle(me, claim(me, mine)[0], address="4915112345678@s.whatsapp.net")
    message.refresh_from_db()
    assert (message.status, message.address) == ("sent", "4915112345678@s.whatsapp.net")
    assert message.sent_at is not None
    assert timeline(message) == ["sending", "sent"]


def test_a_held_message_says_why_and_until_when(session: Session, me: Registration, mine: Claimed) -> None:
    message = queued(session)
    until = ago(seconds=-30)
    settle(me, claim(me, mine)[0], "queued", code="no_devices", detail="…", not_before=until, hold_until=until)
    message.refresh_from_db()
    assert (message.status, message.hold_reason, message.hold_until, message.not_before) == ("queued", "no_devices", until, until)


@pytest.mark.parametrize("status", ["delivered", "read"])
def test_a_receipt_that_was_faster_is_never_taken_back(session: Session, me: Registration, mine: Claimed, status: str) -> None:
    message = queued(session)
    got = claim(me, mine)[0]
    Message.objects.update(status=status, delivered_at=timezone.now())
    settle(me, got, address="a@lid")
    message.refresh_from_db()
    assert (message.status, message.address) == (status, "a@lid")
    assert message.sent_at is not None


@pytest.mark.parametrize("status", ["queued", "failed", "uncertain", "expired"])
def test_nothing_else_moves_a_message_that_has_arrived(session: Session, me: Registration, mine: Claimed, status: str) -> None:
    message = queued(session)
    got = claim(me, mine)[0]
    Message.objects.update(status="delivered")
    settle(me, got, status, code="late")
    message.refresh_from_db()
    assert (message.status, message.error_code) == ("delivered", "")


def test_settling_twice_changes_nothing(session: Session, me: Registration, mine: Claimed) -> None:
    message = queued(session)
    got = claim(me, mine)[0]
    settle(me, got)
    message.refresh_from_db()
    before = (message.sent_at, timeline(message))
    settle(me, got)
    settle(me, got, "failed", code="late")
    message.refresh_from_db()
    assert (message.status, message.sent_at, timeline(message)) == ("sent", *before)


def test_a_former_owner_settles_nothing(session: Session, me: Registration, mine: Claimed) -> None:
    message = queued(session)
    got = claim(me, mine)[0]
    register()
    new = register()
    ownership.claim(me=new, limit=10)
    for owner in (me, new):  # the same worker: its term is the wrong one
        settle(owner, got, sent_at=timezone.now(), next_send_at=ago(seconds=-5))
    message.refresh_from_db()
    assert message.status == "uncertain"
    session.refresh_from_db()
    assert (session.last_sent_at, session.next_send_at) == (None, None)


def test_a_claim_of_another_term_is_neither_settled_nor_given_back(session: Session, me: Registration, mine: Claimed) -> None:
    """Whatever left it there: the one who asks has not claimed it."""
    message = queued(session)
    got = claim(me, mine)[0]
    Message.objects.update(claimed_term=mine.term - 1)
    settle(me, got)
    assert claims.give_back(worker=me.worker, sessions=[mine]) == 0
    message.refresh_from_db()
    assert message.status == "sending"


def test_an_answer_without_an_address_leaves_the_one_that_is_known(session: Session, me: Registration, mine: Claimed) -> None:
    message = queued(session)
    settle(me, claim(me, mine)[0], "uncertain", code="connection_lost", address="1@lid", not_before=ago(seconds=1))
    settle(me, claim(me, mine)[0])
    message.refresh_from_db()
    assert (message.status, message.address) == ("sent", "1@lid")


def test_a_resend_counts_from_the_first_attempt_and_the_oldest_goes_first(
    session: Session, me: Registration, mine: Claimed
) -> None:
    first, second = (queued(session, status="uncertain", sending_at=ago(hours=age), attempts=1) for age in (1, 2))
    assert claim(me, mine)[0].message == first.pk, "in the order of acceptance"
    before = first.sending_at
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.sending_at, first.attempts, second.status) == (before, 2, "uncertain")


def test_nobody_settles_for_a_session_that_was_released(session: Session, me: Registration, mine: Claimed) -> None:
    message = queued(session)
    got = claim(me, mine)[0]
    ownership.release(me=me, owned=[mine], reason="fair_share")
    settle(me, got)
    message.refresh_from_db()
    assert message.status == "sending"  # the next owner's claim makes it uncertain


def test_overlong_words_from_the_wire_do_no_harm(session: Session, me: Registration, mine: Claimed) -> None:
    message = queued(session)
    until = ago(seconds=-5)
    settle(me, claim(me, mine)[0], "queued", code="c" * 99, detail="d" * 999, address="a" * 99, hold_until=until)
    message.refresh_from_db()
    assert (len(message.hold_reason), len(message.error_detail), len(message.address)) == (40, 300, 80)


def test_a_claim_in_doubt_is_given_back(session: Session, me: Registration, mine: Claimed) -> None:
    first = queued(session)
    claim(me, mine)
    assert claims.give_back(worker=register("w2@here").worker, sessions=[mine]) == 0
    assert claims.give_back(worker=me.worker, sessions=[mine]) == 1
    first.refresh_from_db()
    assert first.status == "queued"
    settle(me, claim(me, mine)[0], "queued", code="not_connected")
    claim(me, mine)
    claims.give_back(worker=me.worker, sessions=[mine])
    first.refresh_from_db()
    assert (first.status, first.attempts) == ("queued", 3)  # never handed over: nobody has to wait for a person
    settle(me, claim(me, mine)[0], "uncertain", code="connection_lost", not_before=ago(seconds=1))
    claim(me, mine)
    claims.give_back(worker=me.worker, sessions=[mine])
    first.refresh_from_db()
    assert first.status == "uncertain"


@pytest.mark.django_db(transaction=True)
def test_the_same_session_claimed_from_many_threads_hands_out_one(session: Session) -> None:
    me = register()
    mine = connected(session, me)
    for _ in range(10):
        queued(session)
    got = [one for claims in in_threads(8, lambda _: claim(me, mine)) for one in claims]
    assert len(got) == 1
    assert Message.objects.filter(status="sending").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_message_withdrawn_during_the_claim_is_not_sent(session: Session) -> None:
    me = register()
    mine = connected(session, me)
    message = queued(session)

    def withdraw_or_claim(number: int) -> int:
        if number:
            return len(claim(me, mine))
        return Message.objects.filter(pk=message.pk, status="queued").update(status="canceled")

    withdrawn, claimed = in_threads(2, withdraw_or_claim)
    assert withdrawn + claimed == 1


@pytest.mark.django_db(transaction=True)
def test_a_take_over_and_a_claim_at_once_leave_no_message_between_two_owners(session: Session) -> None:
    for _ in range(5):
        Session.objects.update(owner=None)
        me = register("w1@here")
        mine = connected(session, me)
        message = queued(session)
        other = register("w2@here")
        expire("w1@here")

        def act(number: int, me: Registration = me, mine: Claimed = mine, other: Registration = other) -> int:
            return len(claim(me, mine)) if number else len(ownership.claim(me=other, limit=1))

        taken_over, claimed = in_threads(2, act)
        message.refresh_from_db()
        if taken_over:
            assert message.status == ("uncertain" if claimed else "queued")
        else:
            assert message.status == "sending"
        message.delete()


def test_what_is_given_back_after_the_clock_was_set_back_keeps_its_place(session: Session) -> None:
    """It was due by the old clock. Held until that has come again, all others would overtake it."""
    me = register()
    mine = connected(session, me)
    accepted = ago(seconds=-60)  # as the clock was
    first = queued(session, not_before=accepted, status_at=accepted)
    queued(session, not_before=accepted, status_at=accepted)
    [got] = claim(me, mine)
    settle(me, got, "queued", code="not_connected")
    [again] = claim(me, mine)
    assert again.message == got.message == first.pk


# --- Who decides on what nobody knows


def uncertain(session: Session, **more: Any) -> Message:
    at = ago(hours=1)
    return queued(session, status="uncertain", attempts=1, sending_at=at, not_before=at, error_code="ack_timeout", **more)


def test_nothing_is_sent_again_more_than_a_day_after_it_was_handed_over(session: Session) -> None:
    """Not even where no sweep has failed it meanwhile. What waits behind it goes on."""
    me = register()
    mine = connected(session, me)
    old = uncertain(session)
    Message.objects.update(sending_at=ago(hours=24.1))
    behind = queued(session)
    [got] = claim(me, mine)
    assert (got.message, got.resend) == (behind.pk, False)
    Message.objects.filter(pk=behind.pk).update(status="sent")
    Message.objects.filter(pk=old.pk).update(sending_at=ago(hours=23.9))
    [got] = claim(me, mine)
    assert (got.message, got.resend) == (old.pk, True)


def test_a_person_who_knows_that_it_arrived_says_so(session: Session) -> None:
    message = uncertain(session)
    messages.confirm(message=message, by="ana")
    assert (message.status, message.sent_at, message.error_code) == ("sent", message.sending_at, "")
    assert message.events.get().detail == {"reason": "arrived", "by": "ana"}


def test_a_person_may_have_it_sent_again_under_the_same_id(session: Session) -> None:
    Restaurant.objects.update(resend_uncertain=False)
    me = register()
    mine = connected(session, me)
    message = uncertain(session)
    wa_id = message.wa_id
    assert claim(me, mine) == []
    messages.send_again(message=message, by="ana")
    [got] = claim(me, mine)
    assert (got.message, got.wa_id, got.attempt) == (message.pk, wa_id, 2)


@pytest.mark.parametrize("status", ["queued", "sending", "sent", "failed", "canceled"])
@pytest.mark.parametrize("decide", [messages.confirm, messages.send_again])
def test_only_what_is_uncertain_can_be_decided_on(session: Session, status: str, decide: Any) -> None:
    message = queued(session, status=status)
    with pytest.raises(Conflict):
        decide(message=message, by="ana")
    message.refresh_from_db()
    assert message.status == status and not message.events.exists()
