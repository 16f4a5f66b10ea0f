"""What an answer means: nothing is shown twice, nothing waits for ever, nothing overtakes."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import repeat
from random import Random
from types import MappingProxyType
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.retry import MAX_ATTEMPTS, MAX_RESENDS, Kind, Next, Outcome, Tries, Verdict, has_gone, judge

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ONE_MORE = ["479", "400", "420", "421", "475"]
SERVERS_TROUBLE = ["500", "503"]
BLINKS = ["not_connected", "bridge_unavailable", "store_unavailable", "lease_ran_out", "rate_limited"]
SESSION_WIDE = [*BLINKS, "lookup_failed"]
REASONS = [
    *SESSION_WIDE,
    "lookup_throttled",
    "no_devices",
    "encryption_failed",
    "not_on_whatsapp",
    "expired",
    "invalid_request",
    "something_new",
]
CODES = ["463", *ONE_MORE, "429", *SERVERS_TROUBLE, "", "999"]
outcomes = st.builds(
    Outcome, kind=st.sampled_from(get_args(Kind)), reason=st.sampled_from([*REASONS, *CODES, "ack_timeout", "connection_lost"])
)


codes = st.sampled_from([*REASONS, *(f"wa_{code}" for code in CODES), "ack_timeout", "connection_lost", "unknown", "not_sent"])
histories = st.dictionaries(codes, st.integers(1, 40))
jitters = st.floats(0, 1, exclude_max=True)


def verdict(kind: Kind, reason: str = "", *, resend: bool = False, tries: Tries = MappingProxyType({})) -> Verdict:
    return judge(Outcome(kind, reason), tries=tries, resend=resend, now=NOW, jitter=0.5)


def run(outcomes: Iterable[Outcome]) -> list[Verdict]:
    """What becomes of a message that gets these answers one after the other, up to its end."""
    tries: Counter[str] = Counter()
    got: list[Verdict] = []
    for outcome in outcomes:
        resend = bool(got) and got[-1].next is Next.UNCERTAIN
        got.append(judge(outcome, tries=tries, resend=resend, now=NOW, jitter=0.5))
        tries[got[-1].code] += 1
        if got[-1].next not in (Next.QUEUED, Next.UNCERTAIN):
            break
    return got


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
    assert verdict("not_sent", reason, tries={reason: MAX_ATTEMPTS - 2}).next is Next.QUEUED
    assert verdict("not_sent", reason, tries={reason: MAX_ATTEMPTS - 1}).next is Next.FAILED


def test_a_lookup_without_an_answer_holds_the_session_a_few_times_then_the_message_alone_and_ends_after_hours() -> None:
    waits = run(repeat(Outcome("not_sent", "lookup_failed")))
    assert [bool(one.session_until) for one in waits[:-1]] == [True] * 5 + [False] * 24
    assert sum(((one.retry_at or one.session_until or NOW) - NOW for one in waits), timedelta()) > timedelta(hours=10)
    assert (waits[-1].next, waits[-1].code) == (Next.FAILED, "lookup_failed")


@pytest.mark.parametrize("reason", ["rate_limited", "lookup_failed"])
def test_what_is_said_of_lookups_is_about_strangers(reason: str) -> None:
    """As long as it holds others at all."""
    waits = run(repeat(Outcome("not_sent", reason), 20))
    assert {bool(one.session_until) == one.strangers for one in waits} == {True} and waits[0].strangers
    assert not any(verdict("not_sent", other).strangers for other in BLINKS if other != "rate_limited")


def test_the_limit_of_lookups_holds_strangers_a_moment_and_never_costs_the_message() -> None:
    waits = verdict("not_sent", "lookup_throttled")
    assert (waits.next, waits.code, waits.session_until, waits.on_wire) == (Next.QUEUED, "lookup_throttled", None, False)
    assert waits.strangers and waits.retry_at is not None and waits.retry_at <= NOW + timedelta(seconds=10)
    much_later = verdict("not_sent", "lookup_throttled", tries={"lookup_throttled": 500})
    assert much_later.next is Next.QUEUED and much_later.retry_at is not None
    assert much_later.retry_at <= NOW + timedelta(minutes=1)
    assert not verdict("not_sent", "no_devices").strangers


def test_a_number_not_on_whatsapp_is_final() -> None:
    assert verdict("not_sent", "not_on_whatsapp").next is Next.FAILED


def test_463_is_final_at_once() -> None:
    refused = verdict("rejected", "463")
    assert (refused.next, refused.code, refused.on_wire) == (Next.FAILED, "wa_463", True)


@pytest.mark.parametrize("code", ONE_MORE)
def test_unclear_codes_get_one_more_try(code: str) -> None:
    first, second = verdict("rejected", code), verdict("rejected", code, tries={f"wa_{code}": 1})
    assert first.next is Next.QUEUED
    assert first.retry_at is not None and first.retry_at >= NOW + timedelta(seconds=15)
    assert (second.next, second.code) == (Next.FAILED, f"wa_{code}")


@pytest.mark.parametrize("code", SERVERS_TROUBLE)
def test_trouble_of_the_server_holds_the_session_for_a_moment_then_the_message_alone_and_ends(code: str) -> None:
    tried = run(repeat(Outcome("rejected", code)))
    assert [(one.next, bool(one.session_until)) for one in tried[:-1]] == [(Next.QUEUED, True)] * 2 + [(Next.QUEUED, False)] * 2
    assert (len(tried), tried[-1].next, tried[-1].code) == (MAX_ATTEMPTS, Next.FAILED, f"wa_{code}")
    waits = [(one.session_until or one.retry_at or NOW) - NOW for one in tried[:-1]]
    assert sum(waits[:2], timedelta()) <= timedelta(minutes=3), "nobody else waits for longer"
    assert sum(waits, timedelta()) > timedelta(minutes=7), "a server's restart is over by then"


def test_a_slower_pace_is_asked_of_the_session_and_not_of_the_message() -> None:
    slower = verdict("rejected", "429")
    assert (slower.next, slower.retry_at, slower.on_wire) == (Next.QUEUED, None, True)
    assert slower.session_until is not None and slower.session_until >= NOW + timedelta(minutes=5)
    later = verdict("rejected", "429", tries={"wa_429": 5})
    assert (later.next, later.session_until) == (Next.QUEUED, None), "one that always gets it holds up nobody else"
    assert verdict("rejected", "429", tries={"wa_429": 500}).next is Next.QUEUED


def test_expiry_is_expired_for_a_first_attempt_and_unconfirmed_for_a_resend() -> None:
    assert verdict("not_sent", "expired").next is Next.EXPIRED
    assert verdict("not_sent", "expired", resend=True).code == "unconfirmed"


def test_silence_is_uncertain_and_asks_for_a_new_connection() -> None:
    silent = verdict("unknown", "ack_timeout")
    assert (silent.next, silent.reconnect, silent.on_wire) == (Next.UNCERTAIN, True, True)
    assert not verdict("unknown", "connection_lost").reconnect


@given(outcome=outcomes, tries=histories, jitter=jitters)
def test_what_may_have_been_sent_is_never_queued_again(outcome: Outcome, tries: dict[str, int], jitter: float) -> None:
    later = judge(outcome, tries=tries, resend=True, now=NOW, jitter=jitter)
    if outcome.kind != "rejected":  # the server's refusal is an answer: it is not on the phone
        assert later.next is not Next.QUEUED
    if outcome.kind == "unknown":
        assert later.next in (Next.UNCERTAIN, Next.FAILED)
    if outcome.kind in ("unknown", "not_sent") and later.next is Next.FAILED:
        assert later.code == "unconfirmed", "an earlier attempt may have arrived"
    if later.next is Next.UNCERTAIN:  # nothing else of its session goes meanwhile
        assert later.retry_at is not None and later.retry_at <= NOW + timedelta(minutes=5)


@given(outcome=outcomes, tries=histories, resend=st.booleans(), jitter=jitters)
def test_whatever_waits_says_why_and_until_when(outcome: Outcome, tries: dict[str, int], resend: bool, jitter: float) -> None:
    got = judge(outcome, tries=tries, resend=resend, now=NOW, jitter=jitter)
    until = got.retry_at or got.session_until
    if got.next in (Next.QUEUED, Next.UNCERTAIN):
        assert until is not None and NOW < until <= NOW + timedelta(minutes=60)
        assert got.code and got.detail
    if got.session_until:
        assert got.session_until <= NOW + timedelta(minutes=20)
    if got.next is Next.FAILED:
        assert until is None
        assert got.code and got.detail


@pytest.mark.parametrize("reason", ["ack_timeout", "connection_lost", "a reason of a later version"])
def test_resending_ends_and_never_before_the_first_resend(reason: str) -> None:
    resent = run(repeat(Outcome("unknown", reason)))
    assert len(resent) == MAX_RESENDS + 1
    assert {one.next for one in resent[:-1]} == {Next.UNCERTAIN}
    assert resent[-1].code == "unconfirmed"
    assert verdict("unknown", reason, tries={"ack_timeout": MAX_RESENDS}).next is Next.UNCERTAIN


# --- What costs a message its tries


@given(st.lists(st.sampled_from(BLINKS), max_size=200))
def test_a_message_is_never_given_up_because_the_database_or_the_connection_blinked(blinks: list[str]) -> None:
    assert all(one.next is Next.QUEUED for one in run(Outcome("not_sent", blink) for blink in blinks))
    assert run([*(Outcome("not_sent", blink) for blink in blinks), Outcome("acked")])[-1].next is Next.SENT


@given(st.lists(st.one_of(outcomes, st.sampled_from(BLINKS).map(lambda blink: Outcome("not_sent", blink))), max_size=60))
def test_blinks_change_nothing_of_what_becomes_of_it(told: list[Outcome]) -> None:
    """With them and without: the same codes in the same order, up to the same end."""
    real = [outcome for outcome in told if not (outcome.kind == "not_sent" and outcome.reason in BLINKS)]
    blinking = [one for one in run(told) if one.code not in BLINKS]
    assert [(one.next, one.code) for one in blinking] == [(one.next, one.code) for one in run(real)]


@given(st.lists(st.sampled_from(ONE_MORE), max_size=8), st.lists(codes, max_size=20))
def test_each_code_has_its_one_retry_whatever_came_before(refusals: list[str], before: list[str]) -> None:
    history = Counter(code for code in before if not code.startswith("wa_"))
    for code in dict.fromkeys(refusals):
        tries = history | Counter({f"wa_{other}": 1 for other in refusals if other != code})
        assert judge(Outcome("rejected", code), tries=tries, resend=False, now=NOW, jitter=0).next is Next.QUEUED
        tries[f"wa_{code}"] = 1
        assert judge(Outcome("rejected", code), tries=tries, resend=False, now=NOW, jitter=0).next is Next.FAILED


@given(st.randoms(use_true_random=False))
def test_without_blinks_every_message_ends(dice: Random) -> None:
    """However the answers are mixed: each kind has so many tries, and no more."""
    kinds = [("rejected", code) for code in CODES] + [("unknown", "ack_timeout"), ("unknown", "connection_lost")]
    kinds += [("not_sent", reason) for reason in REASONS if reason not in BLINKS]
    mixed = (Outcome(*dice.choice(kinds)) for _ in range(200))  # type: ignore[arg-type]
    assert run(mixed)[-1].next in (Next.FAILED, Next.EXPIRED)


# As the bridge says them: what was not sent has no doubtful end.
likely = st.one_of(
    st.builds(Outcome, st.just("acked")),
    st.builds(Outcome, st.just("rejected"), st.sampled_from(CODES)),
    st.builds(Outcome, st.just("unknown"), st.sampled_from(["ack_timeout", "connection_lost", "unknown"])),
    st.builds(Outcome, st.just("not_sent"), st.sampled_from(REASONS)),
)


@given(answers=st.lists(likely, min_size=1, max_size=9))
def test_what_was_counted_is_known_at_the_next_try(answers: list[Outcome]) -> None:
    tries, resend, counted = Counter[str](), False, False
    for answer in answers:
        assert has_gone(tries) == counted
        got = judge(answer, tries=tries, resend=resend, now=NOW, jitter=0.5)
        if got.next not in (Next.QUEUED, Next.UNCERTAIN):
            return
        tries[got.code] += 1
        resend, counted = got.next is Next.UNCERTAIN, counted or got.on_wire
