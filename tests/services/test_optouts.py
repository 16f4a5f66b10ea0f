"""STOP and START: heeded at once and at every gate, answered once, with the proof kept."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from sessions_app.errors import Conflict
from sessions_app.models import Consent, Contact, InboundMessage, Message, Restaurant, Session
from sessions_app.services import api_keys, claims, inbound, messages, optouts, sending, sessions, sweeps
from sessions_app.services.claims import Due
from sessions_app.services.messages import OptedOut
from sessions_app.services.optouts import REPLIES
from sessions_app.services.ownership import Claimed, Registration
from tests.api.client import ApiClient, blamed, problem
from tests.services.test_inbound import LID, PHONE, START, received
from tests.support.claiming import acked, claim, contact, fresh, sent, settle, settlement
from tests.support.owning import ago, connected, queued, register, timeline
from tests.support.threads import at_once

STOP, AGAIN = Consent.Kind.STOP, Consent.Kind.START
OTHER = "+4915187654321"


def writes(session: Session, text: str, *, id: str | None = None, at: datetime = START, **who: Any) -> None:
    """The customer writes; each time another message unless told otherwise."""
    named = who or {"phone": PHONE, "lid": LID}
    id = id or f"A{InboundMessage.objects.count()}"
    counts = inbound.record(bridge="b", events=[received(session, id=id, text=text, sent_at=at.isoformat(), **named)])
    assert counts["applied"] + counts["duplicate"] == 1


def proofs() -> list[tuple[str, str]]:
    return list(Consent.objects.order_by("id").values_list("kind", "text"))


def answers() -> list[str]:
    return list(Message.objects.filter(exempt=True).order_by("seq").values_list("body", flat=True))


def enqueue(session: Session, to: str = PHONE, **more: Any) -> Message:
    return messages.enqueue(session=session, to=to, body="offer", **more).message


def is_out(phone: str = PHONE) -> bool:
    return Contact.objects.get(phone=phone).opted_out_at is not None


# --- The words


def test_stop_is_heeded_and_answered_and_the_proof_is_kept(session: Session) -> None:
    writes(session, " STOP! ", id="A7")
    who = Contact.objects.get()
    assert who.opted_out_at == START
    proof = Consent.objects.get()
    assert (proof.kind, proof.text, proof.wa_id, proof.at, proof.by) == ("stop", " STOP! ", "A7", START, "")
    assert (proof.contact_id, proof.phone, proof.lid) == (who.pk, PHONE, LID)
    assert (proof.restaurant_id, proof.session_id) == (session.restaurant_id, session.pk)
    [answer] = Message.objects.all()
    assert (answer.to_phone, answer.body, answer.status, answer.exempt) == (PHONE, REPLIES[STOP], "queued", True)
    assert (answer.priority, answer.lane) == (Message.Priority.HIGH, Message.Lane.WARM)
    assert timeline(answer) == ["queued"]


def test_stop_is_heeded_in_an_edit(session: Session) -> None:
    writes(session, "STO", id="A1")
    assert not is_out()
    writes(session, "STOP", id="E1", edits="A1", phone=PHONE, lid=LID)
    assert is_out() and proofs() == [("stop", "STOP")]


@pytest.mark.parametrize(
    ("languages", "text", "out"),
    [
        ("en", "stop please", True),
        ("en", "Abmelden", False),
        ("de,tr", "abmelden.", True),
        ("de, tr", "ÇIK", True),
        ("de,tr", "désabonner", False),
        ("fr", "Se désabonner", False),
        ("fr", "Désabonner", True),
        ("", "STOP", True),
        ("xx,,", "unsubscribe", True),
        ("en,de", "please stop by at 8", False),
        ("en,de", "I would like to stop getting these", False),
    ],
)
def test_each_restaurant_has_its_languages(session: Session, languages: str, text: str, out: bool) -> None:
    Restaurant.objects.update(opt_out_languages=languages)
    writes(session, text)
    assert is_out() == out
    assert proofs() == ([("stop", text)] if out else [])


def test_it_understands_a_restaurants_own_words(session: Session) -> None:
    Restaurant.objects.update(opt_out_words="Basta così, genug", opt_in_words="wieder her damit")
    writes(session, "BASTA COSI")
    assert is_out()
    writes(session, "Wieder her damit!")
    assert not is_out()
    writes(session, "genug")
    assert is_out() and [kind for kind, _ in proofs()] == ["stop", "start", "stop"]


def test_words_of_another_restaurant_mean_nothing_here(session: Session) -> None:
    other = sessions.create(
        restaurant=Restaurant.objects.create(name="Bistro", opt_out_words="genug", default_region="DE"), name="main"
    )
    inbound.record(bridge="b", events=[received(session, phone=PHONE, text="genug"), received(other, phone=PHONE, text="genug")])
    assert Contact.objects.get(session=session).opted_out_at is None
    assert Contact.objects.get(session=other).opted_out_at is not None


@pytest.mark.parametrize("kind", ["image", "audio", "reaction"])
def test_only_what_was_written_counts(session: Session, kind: str) -> None:
    inbound.record(bridge="b", events=[received(session, phone=PHONE, text="stop", kind=kind)])
    assert not is_out()


def test_who_is_named_by_nothing_cannot_opt_out(session: Session) -> None:
    inbound.record(bridge="b", events=[received(session, text="STOP")])
    assert proofs() == [] and not Message.objects.exists()


# --- Once


def test_saying_it_twice_is_on_record_twice_and_answered_once(session: Session) -> None:
    writes(session, "STOP", at=START)
    writes(session, "Stop.", at=START + timedelta(hours=1))
    assert proofs() == [("stop", "STOP"), ("stop", "Stop.")]
    assert Contact.objects.get().opted_out_at == START
    assert answers() == [REPLIES[STOP]]


def test_one_message_that_whatsapp_brings_twice_is_one_proof(session: Session) -> None:
    writes(session, "STOP", id="A1")
    writes(session, "STOP", id="A1")
    assert proofs() == [("stop", "STOP")] and len(answers()) == 1


def test_within_one_batch_the_order_counts(session: Session) -> None:
    words = ["STOP", "start", "STOP", "stop", "START"]
    batch = [received(session, id=f"A{n}", phone=PHONE, text=word) for n, word in enumerate(words)]
    inbound.record(bridge="b", events=batch)
    assert not is_out()
    assert [kind for kind, _ in proofs()] == ["stop", "start", "stop", "stop", "start"]
    told = Message.objects.order_by("seq").values_list("body", "status")
    stop, again = REPLIES[STOP], REPLIES[AGAIN]
    assert list(told) == [(stop, "suppressed"), (again, "suppressed"), (stop, "queued"), (again, "queued")]


# --- Again


def test_start_opens_the_door_again(session: Session) -> None:
    writes(session, "STOP")
    with pytest.raises(OptedOut):
        enqueue(session)
    writes(session, "START")
    assert not is_out()
    assert enqueue(session).status == "queued"
    assert proofs() == [("stop", "STOP"), ("start", "START")]
    assert answers() == [REPLIES[STOP], REPLIES[AGAIN]]


def test_start_of_somebody_who_is_in_changes_nothing_and_is_on_record(session: Session) -> None:
    writes(session, "START")
    assert not is_out() and proofs() == [("start", "START")] and answers() == []


def test_a_restaurant_answers_in_its_own_words(session: Session) -> None:
    Restaurant.objects.update(opt_out_reply="Schade!", opt_in_reply="Wie schön!")
    writes(session, "STOP")
    writes(session, "START")
    assert answers() == ["Schade!", "Wie schön!"]


# --- What waits, what is under way


@pytest.mark.parametrize("status", ["queued", "scheduled"])
def test_what_waits_is_suppressed(session: Session, status: str) -> None:
    later = ago(hours=-2)
    waiting = queued(session, status=status, not_before=later, hold_reason="contact_parked", hold_until=later)
    others = queued(session, status=status, to_phone=OTHER)
    writes(session, "STOP")
    assert (fresh(waiting).status, waiting.hold_reason, waiting.hold_until) == ("suppressed", "", None)
    assert waiting.status_at > ago(minutes=1)
    assert timeline(waiting) == ["suppressed"] and waiting.events.get().detail == {"reason": "opted_out"}
    assert (fresh(others).status, timeline(others)) == (status, [])


@pytest.mark.parametrize("status", ["sending", "uncertain", "sent", "delivered", "read", "failed", "canceled", "expired"])
def test_what_is_under_way_or_over_is_left_alone(session: Session, status: str) -> None:
    message = queued(session, status=status, attempts=1)
    writes(session, "STOP")
    assert (fresh(message).status, timeline(message)) == (status, [])


def test_an_unanswered_message_is_not_sent_again(session: Session) -> None:
    """It may be the first that the customer would see of it; only the confirmation may be sent again."""
    me = register()
    mine = connected(session, me)
    unanswered = queued(session, status="uncertain", attempts=1, not_before=ago(seconds=1))
    writes(session, "STOP")
    first = claim(me, mine)
    assert first and first.message == Message.objects.get(exempt=True).pk
    settle(me, first, "uncertain", code="ack_timeout", not_before=ago(seconds=1))
    again = claim(me, mine)
    assert again and (again.message, again.resend) == (first.message, True)
    acked(me, again)
    assert claim(me, mine) is None and claims.ready(worker=me.worker, sessions=[session.pk]) == []
    assert fresh(unanswered).status == "uncertain"


def test_another_numbers_messages_are_its_own_affair(session: Session) -> None:
    other = sessions.create(restaurant=session.restaurant, name="second")
    waiting = queued(other)
    writes(session, "STOP")
    assert fresh(waiting).status == "queued"
    assert enqueue(other).status == "queued"


# --- At enqueue


def test_nothing_is_accepted_for_who_has_opted_out(session: Session) -> None:
    writes(session, "STOP")
    before = Message.objects.count()
    with pytest.raises(OptedOut) as refusal:
        enqueue(session)
    assert refusal.value.code == "opted_out"
    with pytest.raises(OptedOut):
        enqueue(session, not_before=ago(hours=-1), idempotency_key="k", fingerprint=b"x")
    assert Message.objects.count() == before
    assert enqueue(session, OTHER).status == "queued"
    writes(session, "START")
    assert enqueue(session, idempotency_key="k", fingerprint=b"x").status == "queued"  # its key was not used up


def test_the_api_blames_the_number(session: Session) -> None:
    writes(session, "STOP")
    _, key = api_keys.issue(restaurant=session.restaurant, name="till", scopes=api_keys.ALL_SCOPES)
    answer = ApiClient(key).post("/messages", {"to": PHONE, "text": "offer"})
    problem(answer, 422, "opted_out")
    assert blamed(answer) == {"/to": "opted_out"}
    assert "START" in json.loads(answer.content)["errors"][0]["message"]


def test_the_api_shows_what_became_of_a_suppressed_message(session: Session) -> None:
    waiting = queued(session)
    writes(session, "STOP")
    _, key = api_keys.issue(restaurant=session.restaurant, name="till", scopes=api_keys.ALL_SCOPES)
    shown = json.loads(ApiClient(key).get(f"/messages/{waiting.pk}").content)
    assert (shown["status"], shown["hold_reason"], shown["estimated_send_at"]) == ("suppressed", "", None)


# --- The answer


def test_the_answer_goes_out_and_is_the_last_that_does(session: Session, me: Registration, mine: Claimed) -> None:
    contact(session, last_outbound_at=timezone.now())
    queued(session, "offer", priority=0)
    writes(session, "STOP")
    slipped_in = queued(session, "slipped in")  # accepted at the very moment
    assert [sent(me, mine, gap_s=60) for _ in range(3)] == [REPLIES[STOP], "suppressed", "nothing"]
    assert (fresh(slipped_in).status, timeline(slipped_in)) == ("suppressed", ["suppressed"])


def test_a_scheduled_message_that_was_missed_is_stopped_when_its_time_comes(
    session: Session, me: Registration, mine: Claimed
) -> None:
    writes(session, "STOP", lid=LID)  # nobody knows yet whose number that is
    scheduled = queued(session, status="scheduled", not_before=ago(seconds=1))
    writes(session, "hello?", phone=PHONE, lid=LID)
    sweeps.release_scheduled()
    assert sent(me, mine) == "suppressed"
    assert timeline(fresh(scheduled)) == ["queued", "suppressed"]


# --- Named by LID alone


def test_who_stops_under_a_lid_is_out_under_the_number_too(session: Session, me: Registration, mine: Claimed) -> None:
    contact(session, last_outbound_at=ago(days=1), name="Ada")
    waiting = queued(session)
    writes(session, "STOP", lid=LID)
    assert answers() == [] and not is_out()
    writes(session, "hello?", phone=PHONE, lid=LID)
    who = Contact.objects.get()
    assert (who.phone, who.lid, who.opted_out_at, who.name) == (PHONE, LID, START, "Ada")
    assert Consent.objects.get().contact_id == who.pk
    assert sent(me, mine) == "suppressed" and fresh(waiting).status == "suppressed"
    with pytest.raises(OptedOut):
        enqueue(session)


def test_who_was_written_to_is_known_by_the_address_that_was_reached(session: Session, me: Registration, mine: Claimed) -> None:
    """Of whom WhatsApp tells no number, too."""
    waiting = queued(session)
    acked(me, claim(me, mine) or pytest.fail("nothing to claim"), address=LID)
    second = queued(session)
    writes(session, "STOP", lid=LID)
    who = Contact.objects.get()
    assert (who.phone, who.lid, who.opted_out_at) == (PHONE, LID, START)
    assert answers() == [REPLIES[STOP]] and [fresh(one).status for one in (waiting, second)] == ["sent", "suppressed"]
    with pytest.raises(OptedOut):
        enqueue(session)


@pytest.mark.parametrize("spelled", ["", "+22512345678"])
def test_who_stopped_before_they_were_written_to_is_known_by_the_first_message_that_reaches_them(
    session: Session, me: Registration, mine: Claimed, spelled: str
) -> None:
    """WhatsApp had told their LID alone, or another spelling of the number. The tick that hears of it claims the next one."""
    dialled = "+2250712345678"
    writes(session, "STOP", phone=spelled or None, lid=LID)
    Message.objects.filter(exempt=True).delete()
    queued(session, to_phone=dialled), (second := queued(session, to_phone=dialled))
    got = claim(me, mine) or pytest.fail("nothing to claim")
    told = settlement(got, address=LID, sent_at=timezone.now(), on_whatsapp=True)
    [then] = sending.tick(worker=me.worker, settlements=[told], due=[Due(mine.session, mine.term)])
    assert (then.message, then.status) == (second.pk, "suppressed")
    who = Contact.objects.get()
    assert (who.phone, who.lid, who.opted_out_at, who.last_outbound_at) == (dialled, LID, START, told.sent_at)
    assert Consent.objects.get().contact_id == InboundMessage.objects.get().contact_id == who.pk
    with pytest.raises(OptedOut):
        enqueue(session, dialled)


def test_a_number_that_reaches_somebody_else_by_now_is_theirs(session: Session, me: Registration, mine: Claimed) -> None:
    writes(session, "STOP", lid=LID)
    contact(session, lid="9@lid")
    queued(session)
    acked(me, claim(me, mine) or pytest.fail("nothing to claim"), address=LID)
    assert is_out() and Contact.objects.get(lid="9@lid").phone == ""


@pytest.mark.parametrize("met_before", [False, True])
def test_whatsapps_own_spelling_of_a_number_makes_nobody_else_of_it(session: Session, met_before: bool) -> None:
    """Where numbers have grown by a digit, accounts keep the number they were made with."""
    dialled, spelled = "+2250712345678", "+22512345678"
    if met_before:
        writes(session, "hello", phone=spelled, lid=LID)
    contact(session, dialled, last_outbound_at=ago(days=1), address=LID)
    writes(session, "STOP", phone=spelled, lid=LID)
    who = Contact.objects.get()
    assert (who.phone, who.lid, is_out(dialled)) == (dialled, LID, True)


def test_nor_where_no_lid_is_told(session: Session) -> None:
    """A row takes the other's number while it has no name of its own."""
    dialled, spelled = "+2250712345678", "+22512345678"
    writes(session, "hello", phone=spelled)
    contact(session, dialled, last_outbound_at=ago(days=1), address=f"{spelled[1:]}@s.whatsapp.net")
    writes(session, "STOP", phone=spelled)
    who = Contact.objects.get()
    assert (who.phone, who.lid, is_out(dialled)) == (dialled, "", True)


def test_who_has_a_new_number_is_written_to_there(session: Session) -> None:
    contact(session, last_outbound_at=ago(days=1), address=LID)
    writes(session, "STOP", phone=OTHER, lid=LID)
    assert is_out(OTHER)


def test_an_address_that_is_somebody_elses_by_now_says_nothing(session: Session) -> None:
    contact(session, last_outbound_at=ago(days=1), lid="9@lid", address=f"{OTHER[1:]}@s.whatsapp.net")
    writes(session, "STOP", phone=OTHER, lid=LID)
    assert is_out(OTHER) and not is_out(PHONE)


def test_a_merge_keeps_the_proofs_of_both(session: Session) -> None:
    writes(session, "STOP", phone=PHONE)
    writes(session, "stop", lid=LID)
    writes(session, "hello?", phone=PHONE, lid=LID)
    who = Contact.objects.get()
    assert list(Consent.objects.order_by("id").values_list("contact", "phone", "lid")) == [
        (who.pk, PHONE, ""),
        (who.pk, "", LID),
    ]


def test_the_proof_outlives_the_contact(session: Session) -> None:
    writes(session, "STOP")
    Contact.objects.all().delete()
    proof = Consent.objects.get()
    assert (proof.contact_id, proof.phone, proof.lid, proof.text) == (None, PHONE, LID, "STOP")


# --- By a person


def test_a_person_decides_for_the_customer_without_an_answer(session: Session) -> None:
    who = contact(session, PHONE)
    waiting = queued(session)
    assert optouts.decide(contact=who, kind=STOP, by="ada").opted_out_at is not None
    assert fresh(waiting).status == "suppressed" and timeline(waiting) == ["suppressed"]
    proof = Consent.objects.get()
    assert (proof.kind, proof.by, proof.text, proof.wa_id) == ("stop", "ada", "", "")
    with pytest.raises(OptedOut):
        enqueue(session)
    assert optouts.decide(contact=who, kind=AGAIN, by="bob").opted_out_at is None
    assert enqueue(session).status == "queued"
    assert list(Consent.objects.order_by("id").values_list("kind", "by")) == [("stop", "ada"), ("start", "bob")]
    assert answers() == []


@pytest.mark.parametrize(("kind", "first"), [(STOP, True), (AGAIN, False)])
def test_deciding_what_is_so_already_is_a_conflict(session: Session, kind: Consent.Kind, first: bool) -> None:
    who = contact(session, opted_out_at=START if first else None)
    with pytest.raises(Conflict):
        optouts.decide(contact=who, kind=kind, by="ada")
    assert proofs() == []


@pytest.mark.django_db(transaction=True)
def test_a_stop_and_a_message_at_one_moment_leave_nothing_to_be_sent(session: Session) -> None:
    """Whichever comes first: it is refused, suppressed while it waits, or suppressed at the claim."""
    me = register()
    mine = connected(session, me)
    for n in range(5):
        Contact.objects.update(opted_out_at=None)
        at_once(lambda: enqueue(session), lambda n=n: writes(session, "STOP", id=f"S{n}"))  # type: ignore[misc]
        while (what := sent(me, mine)) != "nothing":
            assert what in ("suppressed", REPLIES[STOP])
    assert not Message.objects.filter(body="offer").exclude(status="suppressed").exists()


# --- Told late


def test_a_start_that_comes_after_a_later_stop_changes_nothing(session: Session) -> None:
    """Two bridges' spools are told in any order."""
    writes(session, "STOP", at=START)
    writes(session, "STOP", at=START + timedelta(hours=2))
    writes(session, "START", at=START + timedelta(hours=1))
    assert is_out() and [kind for kind, _ in proofs()] == ["stop", "stop", "start"]
    writes(session, "START", at=START + timedelta(hours=3))
    assert not is_out()
