"""Why a message waits, in words."""

from datetime import UTC, datetime, timedelta

import pytest

from sessions_app.admin.timeline import detail_in_words
from sessions_app.admin.waiting import Surroundings, reason_for_waiting
from sessions_app.admin.words import NEEDS_A_PERSON, ago, message_badge, pretty_phone, session_badge, session_sentence, span
from sessions_app.models import Message, Restaurant, Session

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ALONE = Surroundings(ahead=0, ahead_capped=False, worker_alive=True)


def why(around: Surroundings = ALONE, *, session: dict[str, object] | None = None, resend: bool = True, **message: object) -> str:
    owner = Session(restaurant=Restaurant(resend_uncertain=resend), **{"state": "connected", **(session or {})})
    row = Message(**{"status": "queued", "not_before": NOW, "session": owner, **message})
    return reason_for_waiting(row, owner, around, NOW)


@pytest.mark.parametrize("status", ["sent", "delivered", "read", "failed", "canceled", "expired", "suppressed"])
def test_what_does_not_wait_has_no_reason(status: str) -> None:
    assert why(status=status) == ""


@pytest.mark.parametrize("state", [state for state in Session.State.values if state != "connected"])
def test_every_state_but_connected_is_a_reason(state: str) -> None:
    assert why(session={"state": state}).endswith(".")


def test_the_place_in_the_line() -> None:
    assert "1 message goes first" in why(Surroundings(ahead=1, ahead_capped=False, worker_alive=True))
    assert "12 messages go first" in why(Surroundings(ahead=12, ahead_capped=False, worker_alive=True))
    assert "more than 1000 messages" in why(Surroundings(ahead=1000, ahead_capped=True, worker_alive=True))


def test_the_next_one_names_its_time() -> None:
    assert "in 7 s" in why(session={"next_send_at": NOW + timedelta(seconds=7)})
    assert "goes out now" in why(session={"next_send_at": NOW - timedelta(seconds=7)})


def test_a_held_one_says_why_and_until_when() -> None:
    said = why(hold_reason="rate_limited", hold_until=NOW + timedelta(minutes=5))
    assert said == "WhatsApp asked for fewer lookups. It is tried again in 5 min."
    assert "some new reason" in why(hold_reason="some_new_reason")


def test_without_a_worker_that_is_the_reason() -> None:
    assert "No worker" in why(Surroundings(ahead=3, ahead_capped=False, worker_alive=False))


def test_scheduled_and_uncertain() -> None:
    assert "in 2 h" in why(status="scheduled", not_before=NOW + timedelta(hours=2))
    assert "shows it once" in why(status="uncertain")
    assert "by a button" in why(status="uncertain", resend=False)
    for hours, words in ((1, "not sent again"), (3, "shows it once")):
        session: dict[str, object] = {"history_since": NOW - timedelta(hours=hours)}
        assert words in why(session=session, status="uncertain", sending_at=NOW - timedelta(hours=2))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3600, "1 h"), (90000, "25 h"), (200000, "2 days"), (-3, "0 s")],
)
def test_spans(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_moments() -> None:
    assert ago(None, NOW) == "never"
    assert ago(NOW, NOW) == "just now"
    assert ago(NOW - timedelta(minutes=3), NOW) == "3 min ago"
    assert ago(NOW - timedelta(days=30), NOW) == "24 Oct 2026"


def test_every_state_and_status_has_words_of_its_own() -> None:
    sessions = {session_badge(state).text for state in Session.State.values}
    messages = {message_badge(status).text for status in Message.Status.values}
    assert len(sessions) == len(Session.State.values) and len(messages) == len(Message.Status.values)
    assert all(session_badge(state).tone == "bad" for state in NEEDS_A_PERSON)


def test_a_session_in_quarantine_is_not_said_to_be_refused_by_whatsapp() -> None:
    session = Session(state="blocked", state_reason="quarantined", state_detail="It made the bridge crash.")
    assert session_badge(session.state, session.state_reason).text == "Quarantined"
    for words in (session_sentence(session), why(session={"state": session.state, "state_reason": session.state_reason})):
        assert "crash" in words and "WhatsApp" not in words


def test_details_and_numbers() -> None:
    assert (
        detail_in_words({"attempt": 2, "reason": "ack_timeout", "nothing": None, "resend": False, "event": "x"})
        == "attempt 2, no answer from WhatsApp"
    )
    assert pretty_phone("+4915112345678") == "+49 1511 2345678"
    assert pretty_phone("a lid") == "a lid"
