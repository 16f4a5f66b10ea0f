"""Settlements: what was sent is counted once, what is known of customers follows, and a former owner changes nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from sessions_app.models import Contact, SendTally, Session
from sessions_app.services import inbound, ownership, sending, sessions, tallies
from sessions_app.services.claims import Due
from sessions_app.services.ownership import Claimed, Registration
from tests.services.test_inbound import received
from tests.support.claiming import (
    COLD,
    HOUR,
    NEW,
    PHONE,
    WARM,
    acked,
    claim,
    contact,
    explained,
    fresh,
    know_many,
    numbers,
    pile_up,
    rows_read,
    settle,
    settlement,
)
from tests.support.owning import ago, linked_sessions, queued, register

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def counted() -> list[tuple[datetime, int, int]]:
    return list(SendTally.objects.order_by("quarter", "lane").values_list("quarter", "lane", "sent"))


def known() -> Contact:
    return Contact.objects.get(phone=PHONE)


def send(session: Session, me: Registration, mine: Claimed, *, at: datetime, lane: int = WARM, **more: Any) -> None:
    queued(session, lane=lane)
    got = claim(me, mine)
    assert got
    acked(me, got, at, **more)


# --- Tallies


def test_each_send_counts_in_its_quarter_and_lane(session: Session, me: Registration, mine: Claimed) -> None:
    for minutes, lane in ((0, WARM), (1, NEW), (14.99, WARM), (15, WARM), (15.01, COLD), (29, WARM), (60, WARM)):
        send(session, me, mine, at=NOON + timedelta(minutes=minutes), lane=lane)
    assert counted() == [
        (NOON, WARM, 2),
        (NOON, NEW, 1),
        (NOON + timedelta(minutes=15), WARM, 2),
        (NOON + timedelta(minutes=15), COLD, 1),
        (NOON + timedelta(minutes=60), WARM, 1),
    ]


def test_a_settlement_that_is_repeated_counts_once(session: Session, me: Registration, mine: Claimed) -> None:
    """Nobody knows whether its commit went through, so it comes again, perhaps with the next session's."""
    queued(session, lane=NEW)
    got = claim(me, mine)
    assert got
    one = acked(me, got, NOON)
    for _ in range(2):
        sending.tick(worker=me.worker, settlements=[one], due=[])
    assert counted() == [(NOON, NEW, 1)]
    send(session, me, mine, at=NOON + timedelta(seconds=20))
    assert counted() == [(NOON, WARM, 1), (NOON, NEW, 1)]


@pytest.mark.parametrize("lane", [WARM, COLD])
def test_what_is_sent_after_the_clock_was_set_back_counts_too_and_once(
    session: Session, me: Registration, mine: Claimed, lane: int
) -> None:
    """And holds nothing until the time that it was by the old clock."""
    send(session, me, mine, at=NOON, lane=COLD)
    Session.objects.update(next_send_at=NOON + timedelta(seconds=5))
    queued(session, lane=lane)
    got = claim(me, mine)
    assert got
    earlier = NOON - HOUR
    one = acked(me, got, earlier, next_send_at=earlier + timedelta(seconds=5))
    sending.tick(worker=me.worker, settlements=[one], due=[])
    assert counted() == [(earlier, lane, 1), (NOON, COLD, 1)]
    session.refresh_from_db()
    assert (session.last_sent_at, session.cold_sent_at, session.next_send_at) == (earlier, earlier, one.next_send_at)


@pytest.mark.parametrize(("lane", "counts_as"), [(WARM, WARM), (COLD, COLD), (NEW, COLD)])
def test_what_goes_again_opens_no_other_chat(
    session: Session, me: Registration, mine: Claimed, lane: int, counts_as: int
) -> None:
    queued(session, lane=lane)
    acked(me, claim(me, mine) or pytest.fail("nothing to claim"), NOON, again=True)
    assert counted() == [(NOON, counts_as, 1)]


@pytest.mark.parametrize(
    ("status", "given", "counts"),
    [
        ("uncertain", {"sent_at": NOON}, True),  # it may have arrived
        ("failed", {"sent_at": NOON, "code": "wa_463"}, True),  # WhatsApp has seen it
        ("failed", {"code": "not_on_whatsapp"}, False),
        ("queued", {"code": "not_connected"}, False),
    ],
)
def test_what_whatsapp_has_seen_counts(
    session: Session, me: Registration, mine: Claimed, status: str, given: dict[str, Any], counts: bool
) -> None:
    queued(session, lane=COLD)
    got = claim(me, mine)
    assert got
    settle(me, got, status, **given)
    assert counted() == ([(NOON, COLD, 1)] if counts else [])


def test_many_sessions_of_one_tick_count_each_for_itself(session: Session, me: Registration) -> None:
    many = linked_sessions(session.restaurant, 5)
    terms = {one.session: one for one in ownership.claim(me=me, limit=100)}
    Session.objects.update(state="connected")
    for one in many:
        queued(one)
    results = [
        settlement(got, sent_at=NOON + timedelta(minutes=n)) for n, one in enumerate(many) if (got := claim(me, terms[one.pk]))
    ]
    sending.tick(worker=me.worker, settlements=results, due=[])
    assert [(quarter, sent) for quarter, _, sent in counted()] == [(NOON, 1)] * 5
    found = tallies.recent(sessions=[one.pk for one in many])
    assert found == {}  # long ago


def test_it_tells_what_was_sent_lately(session: Session, me: Registration, mine: Claimed) -> None:
    at = ago(hours=25)
    send(session, me, mine, at=ago(hours=27))
    send(session, me, mine, at=at, lane=NEW)
    [(starts_at, lane, sent)] = tallies.recent(sessions=[session.pk])[session.pk]
    assert (lane, sent) == (NEW, 1) and starts_at <= at < starts_at + timedelta(minutes=15)


def test_tallies_are_forgotten_after_forty_days(session: Session) -> None:
    for days in (39, 41):
        SendTally.objects.create(session=session, quarter=ago(days=days), lane=WARM, sent=1)
    assert tallies.forget() == 1
    assert SendTally.objects.get().quarter > ago(days=40)


# --- The pauses


def test_each_lane_keeps_its_own_pause(session: Session, me: Registration, mine: Claimed) -> None:
    def pauses() -> tuple[Any, ...]:
        session.refresh_from_db()
        return (session.last_sent_at, session.next_delay_ms, session.cold_sent_at, session.cold_delay_ms)

    later = NOON + timedelta(seconds=30)
    send(session, me, mine, at=NOON, lane=NEW, delay_ms=3_000, cold_delay_ms=40_000)
    assert pauses() == (NOON, 3_000, NOON, 40_000)
    send(session, me, mine, at=later, lane=WARM, delay_ms=5_000, cold_delay_ms=50_000)
    assert pauses() == (later, 5_000, NOON, 40_000)
    queued(session, lane=COLD)
    got = claim(me, mine)
    assert got
    settle(me, got, "queued", code="not_connected", hold_until=ago(seconds=-5))
    assert pauses() == (later, 5_000, NOON, 40_000)


# --- Customers


def test_a_first_message_makes_its_contact(session: Session, me: Registration, mine: Claimed) -> None:
    send(session, me, mine, at=NOON, lane=NEW)
    made = known()
    assert (made.restaurant_id, made.session_id, made.lid) == (session.restaurant_id, session.pk, "")
    assert (made.on_whatsapp, made.last_outbound_at, made.last_inbound_at) == (True, NOON, None)
    assert made.checked_at and made.checked_at > ago(minutes=1)


def test_a_contact_keeps_whom_the_last_send_reached(session: Session, me: Registration, mine: Claimed) -> None:
    for address, kept in (("1@lid", "1@lid"), ("", "1@lid"), ("2@lid", "2@lid")):
        queued(session)
        acked(me, claim(me, mine) or pytest.fail("nothing to claim"), address=address)
        assert Contact.objects.get().address == kept


def test_the_day_for_resending_begins_with_the_attempt_that_may_have_gone(
    session: Session, me: Registration, mine: Claimed
) -> None:
    message = queued(session)
    settle(me, claim(me, mine) or pytest.fail("nothing to claim"), "queued", code="not_connected")
    assert fresh(message).sending_at is None
    again = claim(me, mine) or pytest.fail("nothing to claim")
    first = fresh(message).sending_at
    settle(me, again, "uncertain", code="connection_lost", not_before=ago(seconds=1))
    assert first is not None and fresh(message).sending_at == first
    assert (claim(me, mine) or pytest.fail("it is not sent again")).resend


def test_a_known_contact_keeps_what_it_is(session: Session, me: Registration, mine: Claimed) -> None:
    contact(session, lid="7@lid", name="Ada", last_inbound_at=NOON, last_outbound_at=NOON, opted_out_at=None)
    send(session, me, mine, at=NOON + HOUR)
    assert (known().lid, known().name, known().last_inbound_at, known().last_outbound_at) == ("7@lid", "Ada", NOON, NOON + HOUR)
    send(session, me, mine, at=NOON + 2 * HOUR)
    Contact.objects.update(last_outbound_at=NOON + 9 * HOUR)
    send(session, me, mine, at=NOON + 3 * HOUR)
    assert known().last_outbound_at == NOON + 9 * HOUR
    assert Contact.objects.count() == 1


def test_a_lookup_in_vain_is_kept_and_says_nothing_of_a_message(session: Session, me: Registration, mine: Claimed) -> None:
    queued(session, lane=NEW)
    got = claim(me, mine)
    assert got
    settle(me, got, "failed", code="not_on_whatsapp", on_whatsapp=False)
    assert (known().on_whatsapp, known().last_outbound_at) == (False, None)
    assert known().checked_at is not None


def test_an_answer_that_says_nothing_of_the_number_leaves_what_is_known(
    session: Session, me: Registration, mine: Claimed
) -> None:
    contact(session, on_whatsapp=True, checked_at=NOON)
    queued(session)
    got = claim(me, mine)
    assert got
    settle(me, got, "uncertain", code="ack_timeout", sent_at=NOON + HOUR, not_before=ago(seconds=-1))
    assert (known().on_whatsapp, known().checked_at, known().last_outbound_at) == (True, NOON, NOON + HOUR)


def test_a_message_that_never_left_makes_no_contact(session: Session, me: Registration, mine: Claimed) -> None:
    queued(session)
    got = claim(me, mine)
    assert got
    settle(me, got, "queued", code="not_connected")
    assert not Contact.objects.exists()


# --- Refusals


def refused(session: Session, me: Registration, mine: Claimed, parked_for: timedelta) -> datetime:
    """WhatsApp refuses a message (463), and says so once more after a commit in doubt."""
    queued(session, lane=COLD)
    Contact.objects.update(parked_until=None)  # that time has passed
    got = claim(me, mine)
    assert got and got.refusals == (Contact.objects.get().refusals if Contact.objects.exists() else 0)
    until = timezone.now() + parked_for
    one = settle(me, got, "failed", code="wa_463", sent_at=timezone.now(), parked_until=until)
    sending.tick(worker=me.worker, settlements=[one], due=[])
    return until


def test_refusals_add_up_and_park_the_customer(session: Session, me: Registration, mine: Claimed) -> None:
    assert (refused(session, me, mine, 24 * HOUR), 1) == (known().parked_until, known().refusals)
    assert (refused(session, me, mine, 48 * HOUR), 2) == (known().parked_until, known().refusals)
    assert known().on_whatsapp is None


def test_an_ack_ends_them(session: Session, me: Registration, mine: Claimed) -> None:
    refused(session, me, mine, 24 * HOUR)
    Contact.objects.update(parked_until=ago(seconds=1))
    send(session, me, mine, at=timezone.now(), lane=COLD)
    assert (known().refusals, known().parked_until) == (0, None)


def test_the_customer_ends_them_by_writing(session: Session, me: Registration, mine: Claimed) -> None:
    refused(session, me, mine, 24 * HOUR)
    inbound.record(bridge="b", events=[received(session, phone=PHONE)])
    assert (known().refusals, known().parked_until) == (0, None)


def test_silence_is_neither_an_ack_nor_a_refusal(session: Session, me: Registration, mine: Claimed) -> None:
    until = refused(session, me, mine, 24 * HOUR)
    queued(session, status="uncertain", attempts=1, not_before=ago(seconds=1))
    got = claim(me, mine)
    assert got
    settle(me, got, "uncertain", code="ack_timeout", sent_at=timezone.now())
    assert (known().refusals, known().parked_until) == (1, until)


# --- Whose it is


@pytest.mark.parametrize("who", ["another worker", "an older term"])
def test_a_former_owner_changes_none_of_it(session: Session, me: Registration, mine: Claimed, who: str) -> None:
    contact(session, refusals=2, parked_until=NOON)
    first, waiting = queued(session, lane=NEW), queued(session, lane=NEW)
    got = claim(me, mine)
    assert got
    if who == "another worker":
        owner = register("w2@here")
        Session.objects.update(owner=owner.worker)
    else:
        Session.objects.update(term=mine.term + 1)
    acked(me, got, delay_ms=3_000, cold_delay_ms=3_000)
    settle(me, got, "failed", code="wa_463", sent_at=timezone.now(), parked_until=ago(hours=-24))
    assert (fresh(first).status, fresh(waiting).lane, counted()) == ("sending", NEW, [])
    assert (known().refusals, known().parked_until, known().last_outbound_at, known().on_whatsapp) == (2, NOON, None, None)
    session.refresh_from_db()
    assert (session.last_sent_at, session.cold_sent_at) == (None, None)


def test_one_customer_of_two_numbers_is_two_contacts(session: Session, me: Registration, mine: Claimed) -> None:
    other = sessions.create(restaurant=session.restaurant, name="second")
    contact(other, refusals=1)
    waiting = queued(other, lane=NEW)
    send(session, me, mine, at=NOON, lane=NEW)
    theirs = Contact.objects.get(session=other)
    assert (theirs.last_outbound_at, theirs.refusals, fresh(waiting).lane) == (None, 1, NEW)


def test_many_customers_make_no_settlement_slow(session: Session, me: Registration, mine: Claimed) -> None:
    queued(session, to_phone="+491517")
    know_many(session, 20_000)
    got = claim(me, mine)
    assert got
    nodes = explained(lambda: acked(me, got), table="INTO contact")
    assert rows_read(nodes, "contact") < 5


def test_long_queues_make_no_settlement_slow(session: Session, me: Registration, mine: Claimed) -> None:
    """Where 50,000 messages wait and as many are finished."""
    queued(session)
    pile_up(session, 50_000)
    pile_up(session, 50_000, status="'read'", sent_at="now()", wa_id="'3EB0' || (n + 1000000)")
    know_many(session, 1)
    got = claim(me, mine)
    assert got
    told, due = [settlement(got, sent_at=timezone.now())], [Due(mine.session, mine.term)]
    nodes = explained(lambda: sending.tick(worker=me.worker, settlements=told, due=due), table="send_tally")
    assert rows_read(nodes, "message") < 10, [node for node in nodes if node.get("Relation Name") == "message"]


def test_one_settlement_notes_many_customers(session: Session, me: Registration) -> None:
    many = linked_sessions(session.restaurant, 6)
    terms = {one.session: one for one in ownership.claim(me=me, limit=100)}
    Session.objects.update(state="connected")
    for one, to in zip(many, numbers(6), strict=True):
        queued(one, to_phone=to)
    got = [found for one in many if (found := claim(me, terms[one.pk]))]
    results = [settlement(one, sent_at=NOON, on_whatsapp=True) for one in got[:4]]
    results.append(settlement(got[4], "failed", on_whatsapp=False))
    results.append(settlement(got[5], "failed", sent_at=NOON, parked_until=NOON + HOUR))
    sending.tick(worker=me.worker, settlements=results, due=[])
    told = Contact.objects.order_by("phone").values_list("on_whatsapp", "last_outbound_at", "parked_until")
    assert list(told) == [(True, NOON, None)] * 4 + [(False, None, None), (None, NOON, NOON + HOUR)]
