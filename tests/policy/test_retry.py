"""What an answer means: nothing is shown twice, nothing waits for ever, nothing overtakes."""

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.retry import MAX_RESENDS, Kind, Next, Outcome, Verdict, judge

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SESSION_WIDE = ["not_connected", "bridge_unavailable", "store_unavailable", "rate_limited", "lookup_failed"]
REASONS = [*SESSION_WIDE, "no_devices", "encryption_failed", "not_on_whatsapp", "expired", "invalid_request", "something_new"]
CODES = ["463", "479", "400", "420", "475", "429", "500", "", "999"]
outcomes = st.builds(
    Outcome, kind=st.sampled_from(get_args(Kind)), reason=st.sampled_from([*REASONS, *CODES, "ack_timeout", "connection_lost"])
)


def verdict(kind: Kind, reason: str = "", *, attempt: int = 1, resend: bool = False) -> Verdict:
    return judge(Outcome(kind, reason), attempt=attempt, resend=resend, now=NOW, jitter=0.5)


def test_an_ack_is_sent() -> None:
    assert verdict("acked") == Verdict(Next.SENT, on_wire=True)


@pytest.mark.parametrize("reason", SESSION_WIDE)
def test_what_concerns_the_session_holds_the_session_so_that_nothing_overtakes(reason: str) -> None:
    waits = verdict("not_sent", reason)
    assert waits.next is Next.QUEUED
    assert waits.session_until is not None and waits.session_until > NOW
    assert waits.retry_at is None
    assert not waits.on_wire


@pytest.mark.parametrize("reason", ["no_devices", "encryption_failed"])
def test_what_concerns_one_message_holds_that_message_and_ends(reason: str) -> None:
    waits = verdict("not_sent", reason)
    assert (waits.next, waits.session_until) == (Next.QUEUED, None)
    assert waits.retry_at is not None and waits.retry_at > NOW
    assert verdict("not_sent", reason, attempt=5).next is Next.FAILED


def test_a_number_not_on_whatsapp_is_final() -> None:
    assert verdict("not_sent", "not_on_whatsapp").next is Next.FAILED


def test_463_is_final_at_once() -> None:
    refused = verdict("rejected", "463")
    assert (refused.next, refused.code, refused.on_wire) == (Next.FAILED, "wa_463", True)


@pytest.mark.parametrize("code", ["479", "400", "420", "475"])
def test_unclear_codes_get_one_more_try(code: str) -> None:
    first, second = verdict("rejected", code), verdict("rejected", code, attempt=2)
    assert first.next is Next.QUEUED
    assert first.retry_at is not None and first.retry_at >= NOW + timedelta(seconds=15)
    assert (second.next, second.code) == (Next.FAILED, f"wa_{code}")


def test_expiry_is_expired_for_a_first_attempt_and_unconfirmed_for_a_resend() -> None:
    assert verdict("not_sent", "expired").next is Next.EXPIRED
    assert verdict("not_sent", "expired", resend=True).code == "unconfirmed"


def test_silence_is_uncertain_and_asks_for_a_new_connection() -> None:
    silent = verdict("unknown", "ack_timeout")
    assert (silent.next, silent.reconnect, silent.on_wire) == (Next.UNCERTAIN, True, True)
    assert not verdict("unknown", "connection_lost").reconnect


@given(outcome=outcomes, attempt=st.integers(1, 40), jitter=st.floats(0, 1, exclude_max=True))
def test_what_may_have_been_sent_is_never_queued_again(outcome: Outcome, attempt: int, jitter: float) -> None:
    later = judge(outcome, attempt=attempt, resend=True, now=NOW, jitter=jitter)
    if outcome.kind != "rejected":  # the server's refusal is an answer: it is not on the phone
        assert later.next is not Next.QUEUED
    if outcome.kind == "unknown":
        assert later.next in (Next.UNCERTAIN, Next.FAILED)


@given(outcome=outcomes, attempt=st.integers(1, 40), resend=st.booleans(), jitter=st.floats(0, 1, exclude_max=True))
def test_whatever_waits_says_why_and_until_when(outcome: Outcome, attempt: int, resend: bool, jitter: float) -> None:
    got = judge(outcome, attempt=attempt, resend=resend, now=NOW, jitter=jitter)
    until = got.retry_at or got.session_until
    if got.next in (Next.QUEUED, Next.UNCERTAIN):
        assert until is not None and NOW < until <= NOW + timedelta(minutes=20)
        assert got.code and got.detail
    if got.next is Next.FAILED:
        assert until is None
        assert got.code and got.detail


@pytest.mark.parametrize("reason", ["ack_timeout", "connection_lost"])
def test_resending_ends_and_never_before_the_first_resend(reason: str) -> None:
    assert verdict("unknown", reason, attempt=MAX_RESENDS + 1, resend=True).code == "unconfirmed"
    assert verdict("unknown", reason, attempt=MAX_RESENDS + 1).next is Next.UNCERTAIN
