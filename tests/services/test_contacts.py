"""One customer under several numbers as dialled: whatever they say counts for each spelling that reaches them."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from sessions_app.models import Consent, Contact, InboundMessage, Message, Session
from sessions_app.services import inbound, messages, optouts, sending
from sessions_app.services.claims import Due
from sessions_app.services.messages import OptedOut
from sessions_app.services.optouts import REPLIES
from sessions_app.services.ownership import Claimed, Registration
from tests.services.test_inbound import LID, received
from tests.support.claiming import COLD, NEW, WARM, acked, claim, contact, explained, fresh, know_many, rows_read, settlement
from tests.support.owning import ago, queued
from tests.support.threads import at_once

LANDLINE, MOBILE = BOTH = ("+541123456789", "+5491123456789")  # of one subscriber in Argentina: tills dial either
BARE = f"{MOBILE[1:]}@s.whatsapp.net"
OTHER_LID = "77@lid"
STOP, AGAIN = Consent.Kind.STOP, Consent.Kind.START


def writes(session: Session, text: str = "hello", **who: Any) -> None:
    told = received(session, id=f"A{InboundMessage.objects.count()}", text=text, sent_at=timezone.now().isoformat(), **who)
    assert inbound.record(bridge="b", events=[told])["applied"] == 1


def enqueue(session: Session, to: str) -> Message:
    return messages.enqueue(session=session, to=to, body="offer").message


def refuses(session: Session, to: str) -> bool:
    try:
        enqueue(session, to)
    except OptedOut:
        return True
    return False


def reaches(me: Registration, mine: Claimed, session: Session, phone: str, address: str = LID) -> None:
    """A message to the number as dialled has come through."""
    message = queued(session, to_phone=phone, exempt=True, priority=0)
    got = claim(me, mine)
    assert got and got.message == message.pk
    acked(me, got, address=address)


def send_all(me: Registration, mine: Claimed, stopped: set[str]) -> None:
    """Everything that waits: of these numbers nothing is handed over but the answer to what they wrote."""
    while got := claim(me, mine):
        if got.status != "suppressed":
            assert got.to_phone not in stopped or got.body != "offer"
            acked(me, got, address=LID)
            stopped.add(got.to_phone)


def who() -> Contact:
    return Contact.objects.get(lid=LID)


def out() -> dict[str, bool]:
    return {phone: at is not None for phone, at in Contact.objects.values_list("phone", "opted_out_at")}


# --- Who has opted out is out under every spelling


@pytest.mark.parametrize(("first", "second"), [BOTH, BOTH[::-1]])
@pytest.mark.parametrize("by", ["customer", "number", "person"])
def test_a_second_spelling_undoes_no_stop(
    session: Session, me: Registration, mine: Claimed, first: str, second: str, by: str
) -> None:
    reaches(me, mine, session, first)
    if by == "person":
        optouts.decide(contact=Contact.objects.get(), kind=STOP, by="ada")
    else:
        writes(session, "STOP", phone=first, lid=LID if by == "customer" else None)
    waiting = enqueue(session, second)
    reaches(me, mine, session, second)
    assert [refuses(session, to) for to in BOTH] == [True, True]
    assert out() == {first: True, second: True}
    send_all(me, mine, {first, second})
    assert fresh(waiting).status == "suppressed"


@pytest.mark.parametrize(
    "told", [{"phone": LANDLINE, "lid": LID}, {"phone": MOBILE, "lid": LID}, {"lid": LID}, {"phone": MOBILE}]
)
def test_one_stop_counts_for_all_that_waits_and_one_start_for_all_that_comes(
    session: Session, me: Registration, mine: Claimed, told: dict[str, str]
) -> None:
    for phone in BOTH:
        reaches(me, mine, session, phone)
    waiting = [enqueue(session, phone) for phone in BOTH]
    writes(session, "STOP", **told)
    assert [fresh(one).status for one in waiting] == ["suppressed", "suppressed"]
    assert [refuses(session, to) for to in BOTH] == [True, True]
    assert Message.objects.filter(body=REPLIES[STOP]).count() == Consent.objects.count() == 1
    writes(session, "START", **told)
    assert [refuses(session, to) for to in BOTH] == [False, False]
    assert Message.objects.filter(body=REPLIES[AGAIN]).count() == 1


def test_a_spelling_that_whatsapp_tells_is_known_before_anybody_dials_it(
    session: Session, me: Registration, mine: Claimed
) -> None:
    reaches(me, mine, session, LANDLINE)
    writes(session, "STOP", phone=MOBILE, lid=LID)
    assert [refuses(session, to) for to in BOTH] == [True, True]


def test_a_person_decides_for_every_spelling_from_any_ones_page(session: Session) -> None:
    contact(session, LANDLINE, lid=LID)
    page = contact(session, MOBILE, address=LID)
    waiting = [queued(session, to_phone=phone) for phone in BOTH]
    optouts.decide(contact=page, kind=STOP, by="ada")
    assert [fresh(one).status for one in waiting] == ["suppressed"] * 2 and out() == dict.fromkeys(BOTH, True)
    optouts.decide(contact=who(), kind=AGAIN, by="ada")
    assert out() == dict.fromkeys(BOTH, False)


def test_spellings_meet_where_whatsapp_tells_no_lid_too(session: Session, me: Registration, mine: Claimed) -> None:
    reaches(me, mine, session, MOBILE, BARE)
    writes(session, phone=MOBILE)
    reaches(me, mine, session, LANDLINE, BARE)
    assert set(Contact.objects.values_list("lid", "address")) == {("", BARE)}
    waiting = [enqueue(session, phone) for phone in BOTH]
    assert [one.lane for one in waiting] == [WARM, WARM]
    writes(session, "STOP", phone=MOBILE)
    assert [fresh(one).status for one in waiting] == ["suppressed", "suppressed"]
    writes(session, "START", phone=MOBILE, lid=LID)
    assert out() == dict.fromkeys(BOTH, False)
    writes(session, "STOP", lid=LID)
    assert out() == dict.fromkeys(BOTH, True)


def test_an_earlier_decision_about_another_spelling_does_not_count_over_a_later_one(session: Session) -> None:
    contact(session, LANDLINE, lid=LID)
    optouts.decide(contact=contact(session, MOBILE, address=LID), kind=STOP, by="ada")
    told = received(session, text="START", lid=LID, sent_at=ago(hours=1).isoformat())
    inbound.record(bridge="b", events=[told])
    assert out() == dict.fromkeys(BOTH, True)


# --- Warmth


def test_who_writes_is_warm_under_every_spelling(session: Session, me: Registration, mine: Claimed) -> None:
    for phone in BOTH:
        reaches(me, mine, session, phone)
    waiting = [queued(session, to_phone=phone, lane=lane) for phone, lane in zip(BOTH, (COLD, NEW), strict=True)]
    writes(session, lid=LID)
    assert [fresh(one).lane for one in waiting] == [WARM, WARM]
    assert [enqueue(session, phone).lane for phone in BOTH] == [WARM, WARM]


def test_a_regular_is_none_the_less_one_under_another_spelling(session: Session, me: Registration, mine: Claimed) -> None:
    writes(session, phone=LANDLINE, lid=LID)
    later = queued(session, to_phone=MOBILE, lane=NEW)
    reaches(me, mine, session, MOBILE)
    assert fresh(later).lane == WARM
    assert [enqueue(session, phone).lane for phone in BOTH] == [WARM, WARM]


# --- Whose number it is


def test_what_was_written_stays_with_one_contact(session: Session, me: Registration, mine: Claimed) -> None:
    for phone in BOTH:
        reaches(me, mine, session, phone)
    for told in ({"phone": LANDLINE, "lid": LID}, {"phone": MOBILE}, {"lid": LID}, {"phone": MOBILE, "lid": LID}):
        writes(session, **told)
    assert set(InboundMessage.objects.values_list("contact", flat=True)) == {who().pk}
    assert Contact.objects.count() == 2 and set(Contact.objects.values_list("name", flat=True)) == {"Ada"}


def test_a_new_number_leaves_no_spelling_of_the_one_before(session: Session) -> None:
    contact(session, LANDLINE, lid=LID), contact(session, MOBILE, address=LID)
    writes(session, "STOP", phone="+5491187654321", lid=LID)
    assert out() == {"+5491187654321": True}


@pytest.mark.parametrize("seen", BOTH)
def test_a_number_that_is_somebody_elses_by_now_is_theirs_in_every_spelling(session: Session, seen: str) -> None:
    contact(session, LANDLINE, lid=LID), contact(session, MOBILE, address=LID)
    writes(session, "STOP", lid=LID)
    writes(session, phone=seen, lid=OTHER_LID)
    assert (who().phone, who().opted_out_at is not None) == ("", True)
    assert Contact.objects.get(phone=seen).lid == OTHER_LID
    assert [refuses(session, to) for to in BOTH] == [False, False]


def test_a_spelling_nobody_can_dial_is_no_contact_of_its_own(session: Session) -> None:
    dialled, spelled = "+2250712345678", "+22512345678"
    contact(session, dialled, last_outbound_at=ago(days=1), address=LID)
    writes(session, phone=spelled, lid=LID)
    assert list(Contact.objects.values_list("phone", "lid")) == [(dialled, LID)]


# --- Whatever comes in whatever order


@pytest.mark.parametrize("seed", range(12))
def test_the_last_word_of_a_customer_counts_for_every_spelling_that_is_known(
    session: Session, me: Registration, mine: Claimed, seed: int
) -> None:
    chance = random.Random(seed)
    pick: Callable[[Any], Any] = chance.choice
    known: set[str] = set()
    names = [{"phone": phone, "lid": LID} for phone in BOTH] + [{"lid": LID}] * 2 + [{"phone": phone} for phone in BOTH]
    for _ in range(30):
        what, phone, told = pick(["dial", "dial", "reach", "write", "STOP", "START"]), pick(BOTH), pick(names)
        if what == "dial":
            refuses(session, phone)
        elif what == "reach":
            reaches(me, mine, session, phone)
            known.add(phone)
        elif told.get("lid") or told["phone"] in known:  # or nobody could tell who that is
            writes(session, "hello" if what == "write" else what, **told)
            known.update(phone for phone in [told.get("phone")] if phone)
            if what in ("STOP", "START"):
                assert [refuses(session, to) for to in known] == [what == "STOP"] * len(known)
        said = Consent.objects.order_by("id").last()
        if said and said.kind == STOP:
            send_all(me, mine, known)
            assert all(refuses(session, to) for to in known)


@pytest.mark.parametrize("seed", range(6))
def test_no_sequence_of_spellings_breaks_the_contacts(session: Session, me: Registration, mine: Claimed, seed: int) -> None:
    """Two numbers of two spellings each, three people: no error, and all who share an account share what is known of it."""
    chance = random.Random(seed)
    phones = [*BOTH, "+541187654321", "+5491187654321", "+5491155555555", ""]
    lids = [LID, OTHER_LID, "78@lid", ""]
    for turn in range(40):
        if phones[turn % 6] and chance.random() < 0.3:
            reaches(me, mine, session, phones[turn % 6], chance.choice(lids[:3]))
            continue
        batch = [
            received(session, id=f"M{turn}.{n}", text=chance.choice(["hello", "STOP", "START"]), phone=phone, lid=lid)
            for n in range(chance.randint(1, 5))
            for phone, lid in [(chance.choice(phones), chance.choice(lids))]
        ]
        assert inbound.record(bridge="b", events=batch)["applied"] == len(batch)
        for one in Contact.objects.exclude(lid=""):
            same = Contact.objects.filter(lid="", address=one.lid)
            shared = set(same.values_list("opted_out_at", "last_inbound_at"))
            assert shared <= {(one.opted_out_at, one.last_inbound_at)}


# --- Races and costs


@pytest.mark.django_db(transaction=True)
def test_two_spellings_that_reach_a_customer_while_they_write_wait_for_each_other(
    session: Session, me: Registration, mine: Claimed
) -> None:
    """Nobody in a circle: an error here is a deadlock."""
    for turn in range(5):
        Contact.objects.all().delete()
        writes(session, "STOP", phone=LANDLINE, lid=LID)
        contact(session, MOBILE, address=LID)
        Message.objects.all().delete()
        queued(session, to_phone=MOBILE, exempt=True)
        got = claim(me, mine)
        assert got
        told = settlement(got, address=LID, sent_at=timezone.now(), on_whatsapp=True)
        settle = partial(sending.tick, worker=me.worker, settlements=[told], due=[Due(mine.session, mine.term)])
        heard = [received(session, id=f"R{turn}.{n}", text="hi", phone=phone, lid=LID) for n, phone in enumerate(BOTH)]
        answers = at_once(settle, *[partial(inbound.record, bridge=one["id"], events=[one]) for one in heard])
        assert not [answer for answer in answers if isinstance(answer, Exception)]
        assert out() == dict.fromkeys(BOTH, True)


def test_many_customers_make_nothing_slow(session: Session, me: Registration, mine: Claimed) -> None:
    know_many(session, 20_000)
    contact(session, MOBILE, address="7@lid")
    told = [received(session, id=f"A{n}", phone=f"+49151{n}", lid=f"{n}@lid") for n in range(5, 10)]
    nodes = explained(lambda: inbound.record(bridge="b", events=told), "named AS MATERIALIZED")
    assert rows_read(nodes, "contact") < 50
    queued(session, to_phone=MOBILE)
    got = claim(me, mine)
    assert got
    nodes = explained(lambda: acked(me, got, address="7@lid"), "INTO contact")
    assert rows_read(nodes, "contact") < 10
