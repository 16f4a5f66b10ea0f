"""What the answer to one message says of its customer, and what becomes of all else that waits for them."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from sessions_app.models import Contact, Message, Restaurant, Session
from sessions_app.policy.restrictions import parked_until
from sessions_app.services import inbound, messages, sending, sessions
from sessions_app.services.claims import NOTHING, Claim
from sessions_app.services.ownership import Claimed, Registration
from sessions_app.services.settlements import Settlement
from tests.services.test_inbound import receipt
from tests.support.claiming import (
    COLD,
    HOUR,
    NEW,
    PHONE,
    acked,
    claim,
    contact,
    fresh,
    sent,
    settle,
    wait_is_over,
)
from tests.support.owning import ago, connected, queued, timeline

OTHER = "+4915187654321"
GAP_S = 30


def handed_over(me: Registration, mine: Claimed, message: Message) -> Claim:
    got = claim(me, mine)
    assert got and (got.message, got.status) == (message.pk, "sending")
    return got


def refused(me: Registration, got: Claim) -> Settlement:
    now = timezone.now()
    return settle(me, got, "failed", code="wa_463", sent_at=now, parked_until=parked_until(got.refusals + 1, now))


def absent(me: Registration, got: Claim) -> Settlement:
    return settle(me, got, "failed", code="not_on_whatsapp", on_whatsapp=False)


def silent(me: Registration, got: Claim) -> Settlement:
    """No ack came: it is sent again in a while."""
    return settle(me, got, "uncertain", code="ack_timeout", sent_at=timezone.now(), not_before=ago(seconds=-60))


def thrown_back(me: Registration, got: Claim) -> Settlement:
    """It never left."""
    return settle(me, got, "queued", code="lookup_throttled", not_before=ago(seconds=-60))


def known(session: Session) -> Contact:
    return Contact.objects.get(session=session, phone=PHONE)


# --- Each answer, and the next message to the same customer and to another one

Answer = Callable[[Registration, Claim], Settlement]
FOLLOWS = [
    pytest.param(acked, ("held", "recipient_gap", COLD), "other", id="ack"),
    pytest.param(refused, ("held", "contact_parked", NEW), "other", id="463"),
    pytest.param(absent, ("failed", "", NEW), "other", id="not-on-whatsapp"),
    pytest.param(silent, ("nothing", "", NEW), "nothing", id="silence"),
    pytest.param(thrown_back, ("same", "", NEW), "other", id="never-left"),
]


@pytest.mark.parametrize(("answer", "same", "other"), FOLLOWS)
def test_what_an_answer_says_of_the_next_message_to_the_same_customer_and_to_another(
    session: Session, me: Registration, mine: Claimed, answer: Answer, same: tuple[str, str, int], other: str
) -> None:
    first, second = queued(session, "first", lane=NEW), queued(session, "same", lane=NEW)
    queued(session, "other", lane=NEW, to_phone=OTHER)
    answer(me, handed_over(me, mine, first))
    became = sent(me, mine, gap_s=GAP_S)
    assert (became, fresh(second).hold_reason, second.lane) == same
    assert second.attempts == (1 if became == "same" else 0)
    assert sent(me, mine, gap_s=GAP_S) == other


@pytest.mark.parametrize("answer", [acked, refused, absent, silent, thrown_back])
def test_an_answer_to_one_number_or_session_says_nothing_of_another(
    session: Session, me: Registration, mine: Claimed, answer: Answer
) -> None:
    """The same customer, but of another number of the restaurant, and of another restaurant."""
    strangers = Restaurant.objects.create(name="another", time_zone="Europe/Berlin")
    others = [sessions.create(restaurant=whose, name="other") for whose in (session.restaurant, strangers)]
    waiting = [queued(one, "theirs", lane=NEW) for one in others]
    theirs = [connected(one, me) for one in others]
    answer(me, handed_over(me, mine, queued(session, lane=NEW)))
    assert [fresh(one).lane for one in waiting] == [NEW, NEW]
    assert [sent(me, one, gap_s=GAP_S) for one in theirs] == ["theirs"] * 2
    assert Contact.objects.exclude(session=session).filter(on_whatsapp=True, refusals=0).count() == 2


# --- An ack


def test_an_ack_opens_the_chat_for_all_that_waits_and_for_nothing_else(session: Session, me: Registration, mine: Claimed) -> None:
    first = queued(session, "first", lane=NEW)
    second, scheduled = queued(session, "second", lane=NEW), queued(session, lane=NEW, status="scheduled")
    parked = queued(session, lane=NEW, hold_reason="contact_parked", hold_until=ago(hours=-1), not_before=ago(hours=-1))
    over = [queued(session, lane=NEW, status=status) for status in ("sent", "failed", "canceled", "expired")]
    other = queued(session, lane=NEW, to_phone=OTHER)
    got = handed_over(me, mine, first)
    assert sent(me, mine) == "nothing", "one at a time"
    acked(me, got)
    assert [fresh(one).lane for one in (second, scheduled, parked)] == [COLD] * 3
    assert {fresh(one).lane for one in (first, other, *over)} == {NEW}, "what was counted as a new chat stays one"
    assert sent(me, mine, new=NOTHING) == "second", "no new chat is needed for it"
    assert sent(me, mine, new=NOTHING) == "nothing"


@pytest.mark.parametrize("told", ["delivered", "read"])
def test_a_receipt_opens_the_chat_as_an_ack_does(session: Session, me: Registration, mine: Claimed, told: str) -> None:
    first, second = queued(session, "first", lane=NEW), queued(session, "second", lane=NEW)
    scheduled, other = queued(session, lane=NEW, status="scheduled"), queued(session, lane=NEW, to_phone=OTHER)
    silent(me, handed_over(me, mine, first))
    inbound.record(bridge="b", events=[receipt(first, told)])
    assert [fresh(one).lane for one in (first, second, scheduled, other)] == [NEW, COLD, COLD, NEW]
    assert sent(me, mine, new=NOTHING) == "second"


def test_the_gap_begins_when_it_went_and_ends_to_the_instant(session: Session, me: Registration, mine: Claimed) -> None:
    first, *rest = (queued(session, text) for text in ("first", "second", "third"))
    confirmation = queued(session, "you are out", exempt=True, priority=3)
    went = ago(seconds=GAP_S / 2)
    acked(me, handed_over(me, mine, first), went)
    until = went + timedelta(seconds=GAP_S)
    assert [sent(me, mine, gap_s=GAP_S) for _ in rest] == ["held", "held"]
    assert {(fresh(one).hold_reason, one.hold_until, one.not_before) for one in rest} == {("recipient_gap", until, until)}
    assert sent(me, mine, gap_s=GAP_S) == confirmation.body, "the answer to a STOP waits for no gap"


def test_the_gap_counts_from_the_last_that_went_whatever_came_of_it(session: Session, me: Registration, mine: Claimed) -> None:
    first, second = queued(session, "first"), queued(session, "second")
    silent(me, handed_over(me, mine, first))
    wait_is_over(first)
    again = claim(me, mine, gap_s=GAP_S)
    assert again and (again.message, again.resend) == (first.pk, True), "a resend waits for nothing"
    went = timezone.now()
    acked(me, again, went)
    assert sent(me, mine, gap_s=GAP_S) == "held"
    assert fresh(second).hold_until == went + timedelta(seconds=GAP_S)


# --- A refusal


def test_a_refusal_parks_all_that_waits_for_the_customer_until_whatsapp_takes_one(
    session: Session, me: Registration, mine: Claimed
) -> None:
    first, second, third = (queued(session, text, lane=NEW) for text in ("first", "second", "third"))
    urgent = queued(session, "urgent", lane=NEW, priority=0, not_before=ago(hours=-1))
    refused(me, handed_over(me, mine, first))
    until = known(session).parked_until
    assert until and until > ago(hours=-23.9)
    wait_is_over(urgent)
    assert [sent(me, mine) for _ in range(4)] == ["held", "held", "held", "nothing"]
    assert_held(until, second, third, urgent)

    _time_passes(second, third)
    got = handed_over(me, mine, second)
    assert got.refusals == 1
    refused(me, got)
    later = known(session).parked_until
    assert known(session).refusals == 2 and later and later > until + 23 * HOUR, "twice as long"
    assert sent(me, mine) == "held"
    assert_held(later, third)

    _time_passes(third)
    assert sent(me, mine) == "third"
    assert (known(session).refusals, known(session).parked_until) == (0, None)
    wait_is_over(urgent)
    assert (sent(me, mine), fresh(urgent).lane) == ("urgent", COLD)


def assert_held(until: datetime, *waiting: Message) -> None:
    for one in waiting:
        assert (fresh(one).status, one.hold_reason, one.hold_until, one.not_before) == ("queued", "contact_parked", until, until)
        assert (one.attempts, one.lane, timeline(one)) == (0, NEW, [])


def _time_passes(*waiting: Message) -> None:
    Contact.objects.update(parked_until=ago(seconds=1))
    for one in waiting:
        wait_is_over(one)


def test_what_is_enqueued_for_a_parked_customer_waits_as_well_and_a_repeated_answer_parks_nobody_longer(
    session: Session, me: Registration, mine: Claimed
) -> None:
    one = refused(me, handed_over(me, mine, queued(session, lane=NEW)))
    late = messages.enqueue(session=session, to=PHONE, body="late").message
    sending.tick(worker=me.worker, settlements=[one], due=[])  # the commit of the first time was in doubt
    assert sent(me, mine) == "held"
    assert (fresh(late).hold_reason, late.hold_until, known(session).refusals) == ("contact_parked", one.parked_until, 1)
    assert late.lane == NEW, "no chat was opened"


# --- A number that is not on WhatsApp


def test_all_that_waits_for_a_number_without_whatsapp_fails_in_turn_and_costs_nothing(
    session: Session, me: Registration, mine: Claimed
) -> None:
    first, second, third = (queued(session, text, lane=NEW) for text in ("first", "second", "third"))
    later = queued(session, "hours later", lane=NEW, not_before=ago(hours=-1))
    absent(me, handed_over(me, mine, first))
    assert [sent(me, mine) for _ in range(3)] == ["failed", "failed", "nothing"]
    for one in (second, third):
        assert (fresh(one).status, one.error_code, one.attempts, one.sent_at) == ("failed", "not_on_whatsapp", 0, None)
        assert timeline(one) == ["failed"]
    assert (fresh(later).status, known(session).last_outbound_at) == ("queued", None)

    Contact.objects.update(checked_at=ago(hours=6.1))
    wait_is_over(later)
    assert sent(me, mine) == "hours later", "people join"
    queued(session, "and again", lane=COLD)
    assert sent(me, mine) == "and again"


def test_an_unanswered_message_is_settled_whatever_is_known_of_its_number_by_now(
    session: Session, me: Registration, mine: Claimed
) -> None:
    first = queued(session, "first")
    silent(me, handed_over(me, mine, first))
    Contact.objects.update(on_whatsapp=False, checked_at=timezone.now(), parked_until=ago(hours=-24), refusals=1)
    wait_is_over(first)
    assert sent(me, mine, gap_s=GAP_S) == "first"
    assert (known(session).on_whatsapp, known(session).parked_until, known(session).refusals) == (True, None, 0)


def test_a_chat_that_was_open_stays_so_when_a_later_message_is_refused(session: Session, me: Registration, mine: Claimed) -> None:
    acked(me, handed_over(me, mine, queued(session, lane=NEW)))
    refused(me, handed_over(me, mine, queued(session, lane=COLD)))
    assert messages.enqueue(session=session, to=PHONE, body="late").message.lane == COLD


# --- The clock is set back


@pytest.mark.parametrize(("gap_s", "held"), [(0, False), (GAP_S, True)])
def test_a_message_sent_in_a_time_to_come_makes_no_gap_longer(
    session: Session, me: Registration, mine: Claimed, gap_s: int, held: bool
) -> None:
    contact(session, last_outbound_at=ago(minutes=-5))
    message = queued(session)
    got = claim(me, mine, gap_s=gap_s)
    assert got and got.status == ("held" if held else "sending")
    until = fresh(message).hold_until
    assert until is None if not held else until and until < ago(seconds=-GAP_S)
