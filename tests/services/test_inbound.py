import random
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from sessions_app.models import Contact, InboundMessage, Message, MessageEvent, Session, SessionEvent
from sessions_app.services import inbound, messages, wakeups
from tests.support.threads import at_once

BRIDGE = "4dbb9f8e-2a0c-4a41-9a77-0e8a6d5f1a11"
START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
PHONE = "+4915112345678"
LID = "1234567890@lid"


def event(session: Session, type_: str, at: datetime = START, **data: Any) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "seq": 1,
        "session": str(session.pk),
        "term": 1,
        "type": type_,
        "at": at.isoformat(),
        "data": data,
    }


def receipt(message: Message, status: str, after_s: int = 0) -> dict[str, Any]:
    at = START + timedelta(seconds=after_s)
    return event(message.session, "message.receipt", at, id=message.wa_id, address="1@lid", status=status)


def ack(message: Message, code: str | None = None) -> dict[str, Any]:
    data: dict[str, Any] = {"id": message.wa_id, "code": code} if code else {"id": message.wa_id}
    return event(message.session, "message.ack", **data)


def received(session: Session, **data: Any) -> dict[str, Any]:
    standard: dict[str, Any] = {"id": "A1", "chat": LID, "sender": LID, "name": "Ada", "kind": "text", "text": "hello"}
    return event(session, "message.received", **{**standard, "sent_at": START.isoformat(), "offline": False, **data})


def record(*events: Any) -> dict[str, int]:
    """What was counted, without zeros."""
    return {name: count for name, count in inbound.record(bridge=BRIDGE, events=list(events)).items() if count}


@pytest.fixture
def message(session: Session) -> Message:
    made = messages.enqueue(session=session, to=PHONE, body="hi").message
    Message.objects.update(status="sending", attempts=1, sending_at=START)
    MessageEvent.objects.all().delete()
    return made


def timeline(message: Message) -> list[str]:
    return [line.status for line in messages.timeline(message=message)]


# --- Receipts and late acks ----------------------------------------------------------------------------------------


def test_receipts_move_a_message_up_step_by_step(message: Message) -> None:
    assert record(receipt(message, "delivered", 1), receipt(message, "read", 2)) == {"applied": 2}
    message.refresh_from_db()
    assert (message.status, message.status_at) == ("read", START + timedelta(seconds=2))
    assert (message.sent_at, message.delivered_at) == (START + timedelta(seconds=1),) * 2
    assert message.read_at == START + timedelta(seconds=2)
    assert timeline(message) == ["sent", "delivered", "read"]
    assert [line.detail for line in messages.timeline(message=message)] == [{"implied": True}, {}, {}]


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("batches", [1, 3])
def test_any_order_in_any_batches_ends_the_same(message: Message, order: tuple[int, ...], batches: int) -> None:
    facts = [ack(message), receipt(message, "delivered", 1), receipt(message, "read", 2)]
    shuffled = [facts[number] for number in order]
    for batch in [shuffled] if batches == 1 else [[fact] for fact in shuffled]:
        record(*batch)
    message.refresh_from_db()
    assert (message.status, message.sent_at) == ("read", START)
    assert message.delivered_at == START + timedelta(seconds=1)
    assert timeline(message) == ["sent", "delivered", "read"]


def test_a_receipt_that_has_waited_counts_from_when_it_was_given(message: Message) -> None:
    Message.objects.update(status="sent", sent_at=START)
    hours_later = START + timedelta(hours=3)
    given = {"delivered": START + timedelta(seconds=7), "read": hours_later + timedelta(days=1)}
    for status, at in given.items():
        told = event(message.session, "message.receipt", hours_later, id=message.wa_id, address="1@lid", status=status)
        told["data"]["at"] = at.isoformat()
        record(told)
    message.refresh_from_db()
    assert (message.delivered_at, message.read_at) == (given["delivered"], hours_later), "never after it was told"


def test_delivering_a_batch_twice_changes_nothing(message: Message) -> None:
    batch = [ack(message), receipt(message, "delivered"), received(message.session), event(message.session, "number.restricted")]
    assert record(*batch) == {"applied": 4}
    rows = [list(model.objects.values()) for model in (Message, MessageEvent, Contact, InboundMessage, SessionEvent)]
    assert record(*batch) == {"applied": 2, "duplicate": 2}
    assert rows == [list(model.objects.values()) for model in (Message, MessageEvent, Contact, InboundMessage, SessionEvent)]


@pytest.mark.django_db(transaction=True)
def test_two_deliveries_of_a_batch_at_one_moment_change_it_once(message: Message) -> None:
    batch = [
        ack(message),
        receipt(message, "read"),
        received(message.session, lid=LID),
        event(message.session, "number.chat_cap"),
    ]
    answers = at_once(*[lambda: record(*batch)] * 4)
    assert sorted(map(str, answers)) == sorted(map(str, [{"applied": 4}, *[{"applied": 2, "duplicate": 2}] * 3]))
    assert timeline(message) == ["sent", "delivered", "read"]
    assert Contact.objects.count() == InboundMessage.objects.count() == 1


@pytest.mark.parametrize("was", ["uncertain", "sending", "sent"])
def test_a_receipt_settles_what_was_open(message: Message, was: str) -> None:
    Message.objects.update(status=was, error_code="ack_timeout", hold_reason="x", hold_until=START)
    record(receipt(message, "delivered"))
    message.refresh_from_db()
    assert (message.status, message.error_code, message.hold_reason, message.hold_until) == ("delivered", "", "", None)


@pytest.mark.parametrize("was", ["queued", "failed", "canceled", "expired"])
def test_a_receipt_is_believed_over_a_decision_if_it_ever_was_handed_over(message: Message, was: str) -> None:
    Message.objects.update(status=was)
    record(receipt(message, "delivered"))
    message.refresh_from_db()
    assert message.status == "delivered"
    assert [line.detail for line in messages.timeline(message=message)] == [{"implied": True}, {"was": was}]
    Message.objects.update(status=was, attempts=0)
    record(receipt(message, "read"))
    message.refresh_from_db()
    assert message.status == was


@pytest.mark.parametrize(("was", "wakes"), [("uncertain", True), ("sending", False), ("sent", False)])
@pytest.mark.django_db(transaction=True)
def test_it_wakes_the_owner_of_what_waited_behind_an_uncertain_message(
    message: Message, monkeypatch: pytest.MonkeyPatch, was: str, wakes: bool
) -> None:
    """One that is under way frees its session by itself."""
    woken: list[uuid.UUID] = []
    monkeypatch.setattr(wakeups, "wake", woken.extend)
    Message.objects.update(status=was)
    record(receipt(message, "delivered"))
    assert woken == ([message.session_id] if wakes else [])


def test_nothing_moves_down(message: Message) -> None:
    record(receipt(message, "read", 5))
    record(ack(message), receipt(message, "delivered", 1))
    message.refresh_from_db()
    assert message.status == "read"
    assert timeline(message) == ["sent", "delivered", "read"]


@pytest.mark.parametrize(("was", "becomes"), [("uncertain", "failed"), ("sending", "sending"), ("delivered", "delivered")])
def test_a_late_final_refusal_ends_only_what_is_uncertain(message: Message, was: str, becomes: str) -> None:
    Message.objects.update(status=was)
    record(ack(message, "463"))
    message.refresh_from_db()
    assert message.status == becomes
    assert (message.error_code == "wa_463") == (becomes == "failed")


def test_a_late_refusal_that_is_tried_again_leaves_it_to_the_resend(message: Message) -> None:
    Message.objects.update(status="uncertain")
    record(ack(message, "479"))
    message.refresh_from_db()
    assert message.status == "uncertain" and timeline(message) == []


def test_a_bridges_fast_clock_does_not_reach_into_the_future(message: Message) -> None:
    future = datetime.now(UTC) + timedelta(hours=1)
    record(event(message.session, "message.receipt", future, id=message.wa_id, address="", status="delivered"))
    message.refresh_from_db()
    assert message.delivered_at and message.delivered_at <= datetime.now(UTC)


# --- What cannot be used -------------------------------------------------------------------------------------------


def test_the_unusable_is_counted_and_costs_the_others_nothing(message: Message) -> None:
    stranger = {**receipt(message, "read"), "session": str(uuid.uuid4())}
    other_id = event(message.session, "message.receipt", id="3EB0FFFF", address="", status="read")
    assert record(
        stranger,
        other_id,
        event(message.session, "weather.report", sunny=True),
        event(message.session, "message.receipt", id=message.wa_id, status="burnt"),
        {**receipt(message, "read"), "at": "yesterday"},
        "nonsense",
        None,
        {},
        receipt(message, "delivered"),
    ) == {"applied": 1, "unknown_session": 1, "unknown_message": 1, "ignored": 1, "invalid": 5}
    message.refresh_from_db()
    assert message.status == "delivered"


def test_an_empty_batch_is_fine(db: None) -> None:
    assert record() == {}


# --- Inbound messages and contacts ----------------------------------------------------------------------------------


def test_it_keeps_what_a_customer_wrote(session: Session) -> None:
    assert record(received(session, phone=PHONE, lid=LID)) == {"applied": 1}
    stored = InboundMessage.objects.select_related("contact").get()
    assert (stored.text, stored.kind, stored.sent_at, stored.restaurant_id) == ("hello", "text", START, session.restaurant_id)
    assert stored.contact
    assert (stored.contact.phone, stored.contact.lid, stored.contact.name) == (PHONE, LID, "Ada")
    assert stored.contact.last_inbound_at == START


@pytest.mark.parametrize("together", [False, True])
def test_an_edit_takes_the_place_of_what_its_own_sender_wrote(session: Session, together: bool) -> None:
    elsewhere = {"chat": "2@lid", "sender": "2@lid"}
    told = [
        received(session, id="A2", **elsewhere),
        received(session, id="E2", edits="A1", **elsewhere),
        received(session, id="A1", text="2 pizzas"),
        received(session, id="E1", text="3 pizzas", edits="A1"),
        received(session, id="E3", text="4 pizzas", edits="A1"),
    ]
    for batch in [told] if together else [[one] for one in told]:
        assert record(*batch) == {"applied": len(batch)}
    first = InboundMessage.objects.get(chat=LID, wa_id="A1")
    edits = dict(InboundMessage.objects.filter(chat=LID).values_list("wa_id", "edits"))
    assert edits == {"A1": None, "E1": first.pk, "E3": first.pk}
    assert set(InboundMessage.objects.filter(chat="2@lid").values_list("edits", flat=True)) == {None}


def test_the_same_id_in_another_chat_is_another_message(session: Session) -> None:
    assert record(received(session), received(session, chat="2@lid", sender="2@lid", lid="2@lid")) == {"applied": 2}
    assert record(received(session), received(session)) == {"duplicate": 2}


def test_hostile_text_is_kept_as_far_as_it_is_text(session: Session) -> None:
    record(received(session, lid=LID, text="a\0b\ud800<script>", name="x" * 500, kind="k" * 90, chat="c" * 200))
    stored = InboundMessage.objects.select_related("contact").get()
    assert stored.text == "a\ufffdb\ufffd<script>"
    assert stored.contact and len(stored.contact.name) == 120


def test_an_older_message_does_not_turn_last_inbound_back(session: Session) -> None:
    earlier = START - timedelta(days=1)
    record(received(session, lid=LID), received(session, id="A0", lid=LID, sent_at=earlier.isoformat()))
    assert Contact.objects.get().last_inbound_at == START


def test_a_lid_never_becomes_a_phone(session: Session) -> None:
    record(received(session, lid=LID), received(session, id="A2", phone="1234567890@lid", lid=LID))
    contact = Contact.objects.get()
    assert (contact.phone, contact.lid) == ("", LID)


def test_a_sender_without_an_address_has_no_contact(session: Session) -> None:
    assert record(received(session)) == {"applied": 1}
    assert InboundMessage.objects.get().contact is None and not Contact.objects.exists()


def test_two_rows_become_one_when_both_names_are_known(session: Session) -> None:
    record(received(session, id="A1", phone=PHONE, name="Ada"), received(session, id="A2", lid=LID, name=None))
    assert Contact.objects.count() == 2
    Contact.objects.filter(lid=LID).update(on_whatsapp=True, checked_at=START, last_outbound_at=START)
    record(received(session, id="A3", phone=PHONE, lid=LID, name=None))
    contact = Contact.objects.get()
    assert (contact.phone, contact.lid, contact.name, contact.on_whatsapp) == (PHONE, LID, "Ada", True)
    assert contact.last_outbound_at == START
    assert set(InboundMessage.objects.values_list("contact", flat=True)) == {contact.pk}


def test_the_same_within_one_batch(session: Session) -> None:
    record(
        received(session, id="A1", phone=PHONE),
        received(session, id="A2", lid=LID),
        received(session, id="A3", phone=PHONE, lid=LID),
    )
    contact = Contact.objects.get()
    assert set(InboundMessage.objects.values_list("contact", flat=True)) == {contact.pk}


def test_a_number_that_moved_to_another_person_moves(session: Session) -> None:
    record(received(session, id="A1", phone=PHONE, lid=LID, name="Ada"))
    record(received(session, id="A2", phone=PHONE, lid="77@lid", name="Bob"))
    assert sorted(Contact.objects.values_list("phone", "lid", "name")) == [("", LID, "Ada"), (PHONE, "77@lid", "Bob")]


def test_a_person_who_changed_the_number_stays_the_same_contact(session: Session) -> None:
    record(received(session, id="A1", phone=PHONE, lid=LID))
    record(received(session, id="A2", phone="+4915187654321", lid=LID))
    assert list(Contact.objects.values_list("phone", "lid")) == [("+4915187654321", LID)]


def test_two_people_who_swap_numbers_in_one_batch(session: Session) -> None:
    other = "+4915187654321"
    record(received(session, id="A1", phone=PHONE, lid="1@lid"), received(session, id="A2", phone=other, lid="2@lid"))
    record(received(session, id="A3", phone=other, lid="1@lid"), received(session, id="A4", phone=PHONE, lid="2@lid"))
    assert sorted(Contact.objects.values_list("phone", "lid")) == [(PHONE, "2@lid"), (other, "1@lid")]


@pytest.mark.parametrize("seed", range(5))
def test_no_sequence_of_names_breaks_the_contacts(session: Session, seed: int) -> None:
    """Whatever WhatsApp tells in whatever order: no error, and the last word about a customer stands."""
    chance = random.Random(seed)
    pick: Callable[[list[str]], str] = chance.choice
    phones, lids = [f"+491511234567{n}" for n in range(4)], [f"{n}@lid" for n in range(4)]
    number = 0
    for _ in range(30):
        batch = []
        for _ in range(chance.randint(1, 6)):
            phone, lid = pick([*phones, ""]), pick([*lids, ""])
            batch.append(received(session, id=f"M{number}", phone=phone, lid=lid))
            number += 1
        assert record(*batch) == {"applied": len(batch)}
        last = batch[-1]["data"]
        named = Contact.objects.filter(**{name: last[name] for name in ("phone", "lid") if last[name]})
        assert named.count() == (1 if last["phone"] or last["lid"] else Contact.objects.count())


# --- Restrictions --------------------------------------------------------------------------------------------------


def test_restrictions_go_into_the_activity_log(session: Session) -> None:
    told = event(session, "number.restricted", active=True, kind="reachout", until="2026-01-02T00:00:00Z")
    record(told, event(session, "number.chat_cap", status="capped", used=10, total=10))
    logged = {line.kind: line for line in SessionEvent.objects.exclude(kind="created")}
    assert set(logged) == {"number_restricted", "chat_cap"}
    assert logged["number_restricted"].at == START
    assert logged["number_restricted"].detail["until"] == "2026-01-02T00:00:00Z"


@pytest.mark.django_db(transaction=True)
def test_a_restriction_delivered_twice_at_one_moment_is_logged_once(session: Session) -> None:
    told = event(session, "number.restricted", active=True)
    at_once(*[lambda: record(told)] * 6)
    assert SessionEvent.objects.filter(kind="number_restricted").count() == 1
