"""How risky a number lives: what counts for how long."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sessions_app.models import Contact, Session, SessionEvent
from sessions_app.policy.signals import Ban, CapStatus, NewChatCap, Refused, TimeLock
from sessions_app.services import outlook, risk, sessions, standing
from tests.support.claiming import contact, numbers
from tests.support.owning import ago, old, queued, tally

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WARM, COLD, NEW = 0, 1, 2  # as in Message.Lane


def risks(session: Session) -> dict[str, str]:
    """Code and words of each reason."""
    found = Session.objects.select_related("restaurant").get(pk=session.pk)
    return {reason.code: reason.text for reason in risk.of_session(found, outlook.of_session(found)).reasons}


def test_a_calm_number_runs_no_risk(session: Session) -> None:
    assert risks(old(session)) == {}


def happened(session: Session, kind: str, *told: tuple[float, dict[str, Any]]) -> None:
    """So many days ago."""
    SessionEvent.objects.bulk_create([SessionEvent(session=session, at=ago(days=days), kind=kind, detail=d) for days, d in told])


def test_it_counts_how_often_whatsapp_has_restricted_it(session: Session) -> None:
    """It is told again with each login while it lasts, and its end takes nothing back."""
    on, off = {"active": True}, {"active": False}
    happened(session, "number_restricted", (40, on), (39, off), (9, on), (8, on), (7, off), (6, off), (3, on), (2, off))
    connected, refused = {"to": "connected"}, {"to": "blocked", "reason": "banned_temporarily"}
    happened(
        session, "state", (21, connected), (20, refused), (19, {"to": "connecting"}), (19, refused), (18, connected), (5, refused)
    )
    found = risks(old(session))
    assert found["time_locks"] == "WhatsApp has kept it from writing to strangers 2 times in the last month."
    assert found["bans"] == "WhatsApp has banned this number 2 times in the last month."


def test_it_counts_what_a_number_has_done_in_thirty_days(session: Session) -> None:
    old(session)
    for days, lane, sent in ((1, WARM, 10), (29, COLD, 6), (2, NEW, 4), (31, NEW, 500)):
        tally(session, ago(days=days), lane, sent)
    for n, to in enumerate(numbers(8)):
        queued(session, "offer" if n < 6 else "two only", lane=NEW, status="sent", sent_at=ago(days=1 + n), to_phone=to)
    queued(session, "offer", lane=WARM, status="sent", sent_at=ago(days=1), to_phone=numbers(9)[8])
    for to in numbers(3):
        queued(session, "long ago", lane=NEW, status="sent", sent_at=ago(days=31), to_phone=to)
        queued(session, "waits", lane=NEW, to_phone=to)
    assert risks(session) == {
        "strangers": "10 of 20 messages went to people who had never written to it.",
        "identical": "6 of 20 messages were the same text to several strangers.",
    }


def test_it_counts_what_became_of_its_customers(session: Session) -> None:
    old(session)
    tally(session, ago(days=1), WARM, 20)
    lately, before = ago(days=5), ago(days=35)
    made: list[dict[str, Any]] = [
        *[{"last_outbound_at": lately}] * 28,
        *[{"last_outbound_at": lately, "last_inbound_at": before}] * 2,
        *[{"last_outbound_at": before}] * 50,
        *[{"checked_at": lately, "on_whatsapp": False}] * 3,
        *[{"checked_at": lately, "on_whatsapp": True}] * 6,
        *[{"checked_at": before, "on_whatsapp": False}] * 50,
        {"opted_out_at": lately}, {"opted_out_at": before},
        {"refusals": 2, "parked_until": lately}, {"refusals": 50, "parked_until": before},
    ]  # fmt: skip
    rows = [
        Contact(restaurant_id=session.restaurant_id, session=session, phone=to, **one)
        for to, one in zip(numbers(len(made)), made, strict=True)
    ]
    Contact.objects.bulk_create(rows)
    assert risks(session) == {
        "silence": "Only 2 of 30 customers have ever written back.",
        "not_on_whatsapp": "3 of 9 numbers it tried are not on WhatsApp: is the list of customers right?",
        "opted_out": "One customer asked for no more messages; others may have blocked the number without a word.",
        "refused": "WhatsApp has refused 2 messages to people who had not written first.",
    }


def test_another_numbers_deeds_are_its_own(session: Session) -> None:
    other = old(sessions.create(restaurant=session.restaurant, name="second"))
    tally(other, ago(days=1), NEW, 50)
    contact(other, numbers(1)[0], refusals=5, parked_until=ago(days=1))
    assert risks(old(session)) == {}
    assert set(risks(other)) == {"strangers", "refused"}


@pytest.mark.parametrize(
    ("event", "reasons"),
    [
        (lambda at: TimeLock(at, True, at + DAY), {0.5: {"locked_now", "time_locks"}, 2: {"time_locks"}, 31: set()}),
        (lambda at: TimeLock(at, False), {0.5: set()}),
        (lambda at: Ban(at, at + HOUR), {0.5: {"bans"}, 29: {"bans"}, 31: set()}),
        (lambda at: NewChatCap(at, CapStatus.CAPPED, 9, 9, at + 9 * DAY), {8: {"new_chat_cap"}, 10: set()}),
        (lambda at: NewChatCap(at, CapStatus.NONE, 0, 9, at + 9 * DAY), {1: set()}),
    ],
    ids=["lock", "no lock", "ban", "cap", "no cap"],
)
def test_whatsapps_word_weighs_while_it_lasts_and_for_a_month(
    session: Session, event: Any, reasons: dict[float, set[str]]
) -> None:
    old(session, declared_days=99, declared_on=timezone.now().date())
    for days, expected in reasons.items():
        Session.objects.update(standing={})
        standing.note(facts=[(session.pk, event(ago(days=days)))])
        assert set(risks(session)) - {"warming_up"} == expected, days


def test_a_ban_that_lasts_weighs_most(session: Session) -> None:
    old(session, state="blocked", state_reason="banned_temporarily")
    found = Session.objects.select_related("restaurant").get()
    assert risk.of_session(found, outlook.of_session(found)).level == "critical"


def test_a_young_number_is_watched(session: Session) -> None:
    Session.objects.update(first_linked_at=ago(days=3))
    standing.note(facts=[(session.pk, Refused(ago(days=1)))])
    assert risks(session) == {
        "young": "The number was first linked 3 days ago; WhatsApp watches new ones closely.",
        "warming_up": "It has had 2 days without a warning since its warm-up began.",
    }
