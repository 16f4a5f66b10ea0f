"""A worker's engine on a real database: the pause, lanes and fairness, as the bridge sees them."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sessions_app.models import Contact, Message, Restaurant, Session
from sessions_app.policy.pacing import Pace
from sessions_app.policy.reasons import Reason
from sessions_app.services import inbound
from tests.services.test_inbound import event, received
from tests.support.claiming import COLD, NEW, WARM, contact, fresh, numbers
from tests.support.owning import ago, linked, old, queued, rules
from tests.support.stack import eventually
from tests.support.stub_bridge import StubBridge
from tests.workers.conftest import MakeRunner
from tests.workers.watching import online, until_status
from tests.workers.wire import OTHER, Wire, in_seconds, seen_for, until_sent, usual, waiting

pytestmark = pytest.mark.usefixtures("often")


# --- The pause


def test_the_pause_is_the_one_drawn_and_typing_lies_inside_it(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    online(session, stub)
    sent = waiting(session, "short", *["long enough " * n for n in (7, 8, 9, 10, 11)], lane=WARM)
    # A heartbeat sets the worker's clock by the database's, by a few milliseconds forth and back.
    make_runner(pace=Pace(300, 600), typing_ms_per_character=3, typing_max_ms=250, heartbeat_s=5)
    until_sent(sent)
    delays = [message.delay_ms or 0 for message in sent]
    assert delays[0] == 0 and all(300 <= delay <= 600 for delay in delays[1:])
    assert [typing for _, _, typing in wire.sent] == [min(250, 3 * len(message.body)) for message in sent]
    over = [gap - delay for gap, delay in zip(wire.gaps_ms(), delays[1:], strict=True)]
    assert min(over) >= -2 and usual(over) < 200  # the machine's own time; 250 ms of typing more would be seen


def test_who_comes_after_the_pause_has_not_waited_for_it(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    online(session, stub)
    runner = make_runner(pace=Pace(300, 300))
    [first] = waiting(session, "first", lane=WARM)
    until_status(first, "sent")
    eventually(lambda: timezone.now() > first.status_at + timedelta(seconds=0.5), what="the end of the pause")
    late = queued(session, "late", lane=WARM)
    runner.wake([session.pk])
    until_status(late, "sent")
    assert (first.delay_ms, late.delay_ms) == (0, 0)


# --- The lanes


def test_strangers_go_at_their_own_pace_and_regulars_do_not_wait_for_them(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    rules(cold_min_delay_ms=900, cold_max_delay_ms=1_000)
    online(old(session), stub)
    strangers = waiting(session, *(f"stranger {n}" for n in range(3)), lane=NEW)
    regulars = waiting(session, *(f"regular {n}" for n in range(12)), lane=WARM)
    make_runner(pace=Pace(100, 150))
    until_sent([*strangers, *regulars])
    assert min(wire.gaps_ms("stranger")) >= 890 and usual(wire.gaps_ms("stranger")) < 1_500
    assert min(wire.gaps_ms()) >= 90 and usual(wire.gaps_ms("regular")) < 450
    assert [900 <= (fresh(one).delay_ms or 0) <= 1_000 for one in strangers] == [False, True, True]
    assert all((fresh(one).delay_ms or 0) <= 150 for one in regulars)


def test_after_a_warning_strangers_wait_twice_as_long(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    rules(cold_min_delay_ms=400, cold_max_delay_ms=400)
    online(old(session), stub)
    warning = {"status": "first_warning", "cycle_ends_at": in_seconds(86_400).isoformat()}
    inbound.record(bridge="b", events=[event(session, "number.chat_cap", timezone.now(), **warning)])
    strangers = waiting(session, *(f"stranger {n}" for n in range(3)), lane=NEW)
    make_runner()
    until_sent(strangers)
    assert [message.delay_ms for message in strangers] == [0, 800, 800]
    assert min(wire.gaps_ms()) >= 790


def test_a_regular_is_found_while_a_stranger_waits_for_its_pause(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    """Nobody tells the worker of it: the wake-up was lost."""
    rules(cold_min_delay_ms=60_000, cold_max_delay_ms=60_000)
    online(old(session), stub)
    first, second = waiting(session, "stranger 0", "stranger 1", lane=NEW)
    make_runner()
    until_status(first, "sent")
    seen_for(0.5, lambda: fresh(second).status == "queued")  # by now its slot in a minute is known
    until_status(queued(session, "regular", lane=WARM), "sent")
    assert wire.texts == ["stranger 0", "regular"]


def test_a_stranger_who_writes_is_answered_at_the_pace_of_regulars(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    rules(cold_min_delay_ms=60_000, cold_max_delay_ms=60_000)
    online(old(session), stub)
    first, second = waiting(session, "stranger 0", "stranger 1", lane=NEW)
    make_runner()
    until_status(first, "sent")
    inbound.record(bridge="b", events=[received(session, phone=second.to_phone)])
    until_status(second, "sent")
    assert second.lane == WARM


def test_what_has_waited_for_ten_minutes_gets_every_fourth_slot(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    online(session, stub)
    aged = waiting(session, "old 1", "old 2", lane=WARM, priority=3, not_before=ago(minutes=11))
    young = waiting(session, *(f"young {n}" for n in range(10)), lane=WARM)
    low = waiting(session, "low", lane=WARM, priority=3)
    make_runner()
    until_sent([*aged, *young, *low])
    places = {text: place for place, text in enumerate(wire.texts)}
    assert places["old 1"] <= 4 and places["old 2"] - places["old 1"] == 4
    assert wire.texts[-1] == "low"


def test_among_strangers_too_what_has_waited_for_long_gets_every_fourth_message(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    """After each message their queue is looked into twice: at the warm lane's slot, which is shut to them, and at their own."""
    rules(cold_min_delay_ms=150, cold_max_delay_ms=150)
    online(old(session), stub)
    aged = waiting(session, "old", lane=COLD, priority=3, not_before=ago(minutes=11))
    young = waiting(session, *(f"young {n}" for n in range(8)), lane=COLD)
    make_runner()
    until_sent([*aged, *young])
    assert wire.texts.index("old") == 3


def test_what_does_not_go_costs_no_slot(session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner) -> None:
    """At the head of the queue: an opted-out customer, a number that is not on WhatsApp, a parked one, one who had one just now.
    None of them costs the pause, which would be a minute."""
    rules(cold_min_delay_ms=0, cold_max_delay_ms=0, recipient_gap_s=60, pace_min_delay_ms=60_000, pace_max_delay_ms=60_000)
    online(old(session), stub)
    out, nobody, parked, just_now, _ = numbers(5)
    contact(session, out, opted_out_at=ago(days=1))
    contact(session, nobody, on_whatsapp=False, checked_at=ago(hours=1))
    contact(session, parked, refusals=1, parked_until=in_seconds(3_600))
    contact(session, just_now, last_outbound_at=timezone.now())
    suppressed, failed, held, too_soon, fine = waiting(session, "out", "nobody", "parked", "just now", "fine", lane=COLD)
    make_runner()
    until_status(fine, "sent")
    assert [fresh(one).status for one in (suppressed, failed, held, too_soon)] == ["suppressed", "failed", "queued", "queued"]
    assert (held.hold_reason, too_soon.hold_reason) == (Reason.CONTACT_PARKED, Reason.RECIPIENT_GAP)
    assert wire.texts == ["fine"]


def test_a_customer_is_not_written_to_twice_within_the_gap(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    rules(recipient_gap_s=1)
    online(session, stub)
    sent = waiting(session, "one 0", "one 1", "one 2", lane=WARM, to_phone=OTHER)
    others = waiting(session, "other 0", "other 1", lane=WARM)
    make_runner()
    until_sent([*sent, *others])
    assert all(gap >= 990 for gap in wire.gaps_ms("one")) and wire.texts[:3] == ["one 0", "other 0", "other 1"]


# --- Fairness


def test_a_session_whose_strangers_are_held_delays_nobody_and_wastes_nothing(
    restaurant: Restaurant, session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    """A hundred opted-out strangers at the head of one session: each is looked at once, beside the others' messages."""
    online(old(session), stub)
    out = numbers(100)
    Contact.objects.bulk_create(Contact(restaurant=restaurant, session=session, phone=to, opted_out_at=ago(days=1)) for to in out)
    gone = waiting(session, *("out" for _ in out), lane=WARM)
    last = queued(session, "last", lane=WARM, to_phone=OTHER)
    others = [linked(Session.objects.create(restaurant=restaurant, name=f"o{n}", state="disconnected")) for n in range(5)]
    for one in others:
        stub.linked.add(str(one.pk))
        for n in range(4):
            queued(one, f"other {n}", lane=WARM, to_phone=numbers(9)[n])
    make_runner(pace=Pace(50, 50))
    until_status(last, "sent")
    eventually(lambda: not Message.objects.filter(status="queued").exists(), what="everything to be done with")
    assert wire.texts.count("last") == 1 and len(wire.texts) == 21
    assert {fresh(one).status for one in gone} == {"suppressed"}
