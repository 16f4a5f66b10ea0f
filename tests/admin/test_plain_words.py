"""What WhatsApp holds back, what has happened, and why messages wait or failed: in words, never in codes."""

from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from sessions_app.admin.happenings import happening
from sessions_app.admin.reasons import in_few_words
from sessions_app.admin.restricted import notices
from sessions_app.admin.words import code_in_words, exact, session_sentence
from sessions_app.models import Consent, Contact, Message, Session, SessionEvent, Worker
from sessions_app.policy import retry
from sessions_app.policy.reasons import Reason
from sessions_app.policy.signals import Ban, CapStatus, Connected, Event, Known, NewChatCap, Refused, TimeLock, fold
from sessions_app.services import messages, standing
from tests.admin.conftest import House, be

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(days=2)
IN_TURN = {Reason.NEXT, Reason.PACE, Reason.QUEUE, Reason.SCHEDULED}


def page(client: Client, kind: str, pk: object) -> str:
    return unescape(client.get(f"/admin/sessions_app/{kind}/{pk}/change/").content.decode())


def linked(house: House, worker: Worker, **more: object) -> Session:
    truth: dict[str, object] = {"state": "connected", "linked_at": timezone.now(), "first_linked_at": timezone.now()}
    return be(house.session, **{**truth, "phone": "+4915112345678", "owner": worker, **more})


def locked(house: House, worker: Worker) -> datetime:
    """Its number is time-locked; answers until when messages to strangers are held."""
    linked(house, worker)
    until = timezone.now() + timedelta(days=2)
    standing.note(facts=[(house.session.pk, TimeLock(timezone.now(), True, until, "default"))])
    return until + timedelta(minutes=10)


@pytest.mark.parametrize(
    ("kind", "detail", "title", "words"),
    [
        ("number_restricted", {"active": False, "kind": "default"}, "WhatsApp says: no restriction", ""),
        (
            "number_restricted",
            {"active": True, "kind": "web_companion_only", "until": "2026-11-27T18:00:00.000Z"},
            "No messages to strangers",
            "WhatsApp forbids them until 27 Nov 2026, 18:00:00",
        ),
        ("number_restricted", {"active": True, "until": "soon"}, "No messages to strangers", "WhatsApp forbids them for now"),
        ("chat_cap", {"status": "none", "used": 0, "total": 0, "cycle_ends_at": "2026-12-25T08:45:32Z"}, "no warning", ""),
        (
            "chat_cap",
            {"status": "first_warning", "used": 32, "total": 50, "cycle_ends_at": "2026-12-20T00:00:00.000Z"},
            "New-chat limit: first warning",
            "used 32 of 50, counted anew from 20 Dec 2026, 00:00:00",
        ),
        ("chat_cap", {"status": "capped"}, "New-chat limit: used up", ""),
        ("chat_cap", {"status": "something new"}, "New-chat limit: first warning", ""),
        ("state", {"from": "connecting", "to": "connected"}, "Connected", "before: connecting"),
        ("state", {"to": "blocked", "reason": "quarantined"}, "Quarantined", "quarantined"),
        ("state", {"to": "logged_out", "restricted_before": True}, "Logged out", "after a restriction by WhatsApp"),
        ("link_requested", {"method": "qr", "by": "ann"}, "Linking asked for", "by QR code, asked by ann"),
        ("link_requested", {"method": "code", "phone": "+49•••45"}, "Linking asked for", "by pairing code for +49•••45"),
        ("claimed", {"worker": "w1", "term": 3}, "Taken over by a worker", "w1"),
        ("released", {"term": 3, "reason": "worker_stops"}, "Given up by its worker", "worker stops"),
        ("restart_requested", {"by": "ann"}, "Restart asked for", "by ann"),
        ("some_new_kind", {}, "Some new kind", ""),
    ],
)
def test_every_line_of_the_log_is_a_sentence(kind: str, detail: dict[str, Any], title: str, words: str) -> None:
    told = happening(SessionEvent(at=NOW, kind=kind, detail=detail))
    assert title in told.title and told.words == words


@pytest.mark.parametrize(
    ("said", "title", "says", "until"),
    [
        ([TimeLock(NOW, True, LATER)], "No messages to strangers", "does not let", LATER + timedelta(minutes=10)),
        ([Ban(NOW, LATER)], "Banned for a while", "send nothing", LATER + timedelta(minutes=10)),
        ([NewChatCap(NOW, CapStatus.FIRST_WARNING, 32, 50, LATER)], "New chats running out", "32 of the 50", LATER),
        ([NewChatCap(NOW, CapStatus.SECOND_WARNING, 0, 0, LATER)], "New chats nearly used up", "urgent and high", LATER),
        ([NewChatCap(NOW, CapStatus.CAPPED, 50, 50, LATER)], "No new chats left", "wait", LATER + timedelta(minutes=10)),
        (
            [Refused(NOW - timedelta(minutes=minutes)) for minutes in (9, 5, 1)],
            "Strangers refused",
            "refused several",
            NOW + timedelta(hours=6, minutes=-1),
        ),
    ],
)
def test_what_is_held_back_is_told_until_it_ends(said: list[Event], title: str, says: str, until: datetime) -> None:
    known = Known()
    for event in said:
        known = fold(known, event)
    [notice] = notices(known, NOW)
    assert notice.title == title and says in notice.text and notice.until == until
    assert notices(known, until) == []


@pytest.mark.parametrize("fact", [TimeLock(NOW, False), NewChatCap(NOW, CapStatus.NONE, 12, 50, LATER), Connected(NOW)])
def test_good_news_is_no_notice(fact: Event) -> None:
    assert notices(fold(Known(), fact), NOW) == []


def test_no_reason_is_shown_as_a_code() -> None:
    codes = {*Reason, *retry.sentences(), "not_on_whatsapp", "invalid_request", "unconfirmed", "owner_lost", "wa_463"} - IN_TURN
    told_by_their_code = {code for code in codes if in_few_words(code) == code_in_words(code)}
    assert told_by_their_code == {Reason.QUIET_HOURS, Reason.REFUSED}
    assert in_few_words("wa_487") == "refused by WhatsApp (487)" and in_few_words("") == ""


def test_a_blocked_number_says_what_whatsapp_said() -> None:
    why = "WhatsApp has banned this number for a while."
    assert session_sentence(Session(state="blocked", state_reason="banned_temporarily", state_detail=why)) == why


def test_a_restricted_number_says_so_on_its_page(manager: Client, ours: House, worker: Worker) -> None:
    until = locked(ours, worker)
    html = page(manager, "session", ours.session.pk)
    callout = html.split('class="rw-callout rw-bad"')[1].split("</p>")[0]
    assert "No messages to strangers" in callout and exact(until) in callout
    places = [
        html.index(part) for part in ("Send a test message", "What it may send today", "Its name on WhatsApp", "Activity</h2>")
    ]
    assert places == sorted(places)


def test_the_log_has_words(manager: Client, ours: House) -> None:
    detail = {"active": False, "kind": "default", "event": "e1"}
    SessionEvent.objects.create(session=ours.session, at=timezone.now(), kind="number_restricted", detail=detail)
    html = page(manager, "session", ours.session.pk)
    assert "WhatsApp says: no restriction" in html and "kind default" not in html and "number restricted" not in html


def test_the_first_page_tells_who_is_held_back(manager: Client, boss: Client, ours: House, theirs: House, worker: Worker) -> None:
    until = locked(ours, worker)
    html = manager.get("/admin/").content.decode()
    assert "Held back by WhatsApp for now" in html and f"Until {exact(until)} UTC" in html and "1 held back by WhatsApp" in html
    locked(theirs, worker)
    assert "Odile" not in manager.get("/admin/").content.decode()
    assert "2 held back by WhatsApp" in boss.get("/admin/").content.decode()
    be(ours.session, state="blocked", state_detail="Banned.", retry_at=until)
    html = manager.get("/admin/").content.decode()
    assert "Held back by WhatsApp" not in html and f"It is tried again at {exact(until)} UTC" in html


def test_the_list_tells_in_a_few_words_why(manager: Client, ours: House, worker: Worker) -> None:
    until = locked(ours, worker)
    Message.objects.filter(pk=ours.message.pk).update(lane=Message.Lane.NEW)
    failed = messages.enqueue(session=ours.session, to="+4915112345699", body="x").message
    detail = "This number is not on WhatsApp."
    Message.objects.filter(pk=failed.pk).update(status="failed", error_code="not_on_whatsapp", error_detail=detail)
    gone = messages.enqueue(session=ours.session, to="+4915112345698", body="y").message
    Message.objects.filter(pk=gone.pk).update(status="sent", error_code="ack_timeout")
    html = manager.get("/admin/sessions_app/message/").content.decode()
    assert f'<small title="{detail}">not on WhatsApp</small>' in html
    assert f'<small title="until {exact(until)} UTC">no strangers for now' in html
    assert "no answer from WhatsApp" not in html


def test_a_held_message_tells_until_when_and_its_lane(manager: Client, ours: House, worker: Worker) -> None:
    until = locked(ours, worker)
    Message.objects.filter(pk=ours.message.pk).update(lane=Message.Lane.NEW)
    html = page(manager, "message", ours.message.pk)
    assert f"It goes out in 2 days at the earliest: {exact(until)} UTC." in html
    assert f"<dt>Expected</dt><dd>{exact(until)}" in html and "first message to a stranger" in html
    assert "Sent at" not in html and "Taken by WhatsApp" in html


def test_a_blocked_number_is_the_reason_with_its_end(manager: Client, ours: House, worker: Worker) -> None:
    retry_at = timezone.now() + timedelta(hours=20)
    linked(ours, worker, state="blocked", state_detail="WhatsApp has banned this number for a while.", retry_at=retry_at)
    html = page(manager, "message", ours.message.pk)
    assert f"banned this number for a while. The queue is kept; the number is tried again at {exact(retry_at)} UTC." in html


def test_a_sent_message_tells_its_pause_and_a_failed_one_its_reason(manager: Client, ours: House) -> None:
    Message.objects.filter(pk=ours.message.pk).update(status="failed", delay_ms=6_249, error_code="wa_463", error_detail="Why.")
    html = page(manager, "message", ours.message.pk)
    assert "6.2 s" in html and "<b>Refused: a stranger.</b> Why." in html and "Wa 463" not in html


def test_a_contact_that_whatsapp_refuses_says_until_when(manager: Client, ours: House) -> None:
    until = timezone.now() + timedelta(hours=30)
    Contact.objects.filter(pk=ours.contact.pk).update(refusals=2, parked_until=until)
    html = page(manager, "contact", ours.contact.pk)
    assert "Refused by WhatsApp" in html and "refused 2 messages in a row" in html and f"{exact(until)} UTC" in html
    assert "Last wrote to us" in html and "WhatsApp's own id (LID)" in html and "not known yet" in html
    Contact.objects.filter(pk=ours.contact.pk).update(parked_until=timezone.now())
    assert "Refused by WhatsApp" not in page(manager, "contact", ours.contact.pk)


def test_a_contact_shows_the_proof_of_its_opt_out(manager: Client, ours: House) -> None:
    kept = {"restaurant": ours.restaurant, "session": ours.session, "contact": ours.contact, "at": timezone.now()}
    Consent.objects.create(kind="stop", text="Stop <b>it</b>", wa_id="3EB0AA", **kept)
    Consent.objects.create(kind="start", text="", by="ann", **kept)
    html = manager.get(f"/admin/sessions_app/contact/{ours.contact.pk}/change/").content.decode()
    assert "The customer wrote “Stop &lt;b&gt;it&lt;/b&gt;”" in html and "3EB0AA" in html and "Decided by ann" in html
