"""One row of the signal table each."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.reactions import MOST_CRASHES, STABLE, Reaction, react

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TRANSIENT = [
    "connection_lost", "timed_out", "server_error", "unavailable", "restart_required", "connect_failed", "store_unavailable",
]  # fmt: skip
EVERY = [
    *TRANSIENT, "bridge_unavailable", "client_outdated", "replaced", "forbidden", "locked", "not_multidevice",
    "banned_temporarily", "crashed", "lease_ran_out",
    "logged_out", "link_expired", "passkey_required", "requested", "stale_term", "a reason of a later version",
]  # fmt: skip


def reaction(
    reason: str, *, linked: bool = True, failures: int = 0, crashes: int = 0, up: timedelta | None = None, **detail: Any
) -> Reaction:
    given: dict[str, Any] = {"linked": linked, "failures": failures, "crashes": crashes, "connected_for": up, "detail": detail}
    return react(reason, now=NOW, jitter=0.5, **given)


@pytest.mark.parametrize("reason", TRANSIENT)
def test_transient_ends_are_tried_again_soon_and_keep_the_link(reason: str) -> None:
    got = reaction(reason)
    assert (got.state, got.wipe, got.failures) == ("disconnected", False, 1)
    assert got.retry_at is not None and NOW < got.retry_at <= NOW + timedelta(seconds=10)


@given(st.sampled_from(EVERY), st.booleans(), st.integers(0, 50), st.floats(0, 1, exclude_max=True))
def test_credentials_are_wiped_by_a_log_out_alone(reason: str, linked: bool, failures: int, jitter: float) -> None:
    got = react(reason, linked=linked, failures=failures, connected_for=None, detail={}, now=NOW, jitter=jitter)
    assert got.wipe == (reason == "logged_out")
    assert got.detail
    assert got.reason == reason


def test_401_waits_for_a_person() -> None:
    got = reaction("logged_out")
    assert (got.state, got.retry_at) == ("logged_out", None)


@pytest.mark.parametrize("reason", ["forbidden", "locked", "not_multidevice"])
def test_bans_and_locks_are_parked(reason: str) -> None:
    got = reaction(reason)
    assert (got.state, got.retry_at) == ("blocked", None)


def test_a_temporary_ban_ends_when_it_says() -> None:
    until = NOW + timedelta(hours=3)
    got = reaction("banned_temporarily", until=until)
    assert got.state == "blocked"
    assert got.retry_at is not None and until <= got.retry_at <= until + timedelta(minutes=1)


def test_a_temporary_ban_without_an_end_is_asked_about_rarely() -> None:
    got = reaction("banned_temporarily")
    assert got.retry_at is not None and got.retry_at >= NOW + timedelta(minutes=30)


def test_440_is_not_fought() -> None:
    waits = [reaction("replaced", failures=n).retry_at for n in range(8)]
    assert waits[0] is not None and waits[0] >= NOW + timedelta(seconds=15)
    assert waits[-1] is not None and waits[-1] >= NOW + timedelta(minutes=15)


def test_failures_in_a_row_wait_longer_up_to_a_cap() -> None:
    waits = [(reaction("server_error", failures=n).retry_at or NOW) - NOW for n in range(20)]
    assert waits == sorted(waits)
    assert waits[-1] <= timedelta(minutes=5)


def test_a_connection_that_lasted_starts_the_count_anew() -> None:
    assert reaction("connection_lost", failures=9, up=STABLE).failures == 1
    assert reaction("connection_lost", failures=9, up=STABLE - timedelta(seconds=1)).failures == 10


CAPS = {
    "store_unavailable": timedelta(minutes=1),
    "bridge_unavailable": timedelta(seconds=30),
    "client_outdated": timedelta(minutes=30),
    "replaced": timedelta(minutes=30),
    "banned_temporarily": timedelta(hours=24),
}
PARKED = {"forbidden", "locked", "not_multidevice", "stale_term", "logged_out", "requested"}
AT_ONCE = {"lease_ran_out"}  # no failure of a login: the bridge has let go by itself
RETRYING = sorted(set(EVERY) - PARKED - AT_ONCE)
ENOUGH = 12  # failures after which every wait has grown to its cap


# What crashes again and again is kept apart before its wait has grown.
@given(
    st.sampled_from([one for one in RETRYING if one != "crashed"]), st.integers(ENOUGH, 10_000), st.floats(0, 1, exclude_max=True)
)
def test_an_endless_failure_settles_at_a_wait_that_has_a_floor_and_a_cap_and_says_why(
    reason: str, failures: int, jitter: float
) -> None:
    got = react(reason, linked=True, failures=failures, connected_for=None, detail={}, now=NOW, jitter=jitter)
    cap = CAPS.get(reason, timedelta(minutes=5))
    assert got.retry_at is not None
    assert cap / 2 <= got.retry_at - NOW <= cap
    assert (got.failures, got.wipe) == (failures + 1, False)
    assert got.detail


@given(st.lists(st.tuples(st.sampled_from(RETRYING), st.floats(0, 1, exclude_max=True)), min_size=40, max_size=60))
def test_whatever_the_failures_are_called_the_waits_between_them_grow(ends: list[tuple[str, float]]) -> None:
    """A login that fails for ever, now for this reason and now for that one, is not tried all the time."""
    failures, now, at = 0, NOW, []
    for reason, jitter in ends:
        got = react(reason, linked=True, failures=failures, connected_for=None, detail={}, now=now, jitter=jitter)
        assert got.retry_at is not None and got.retry_at > now
        failures, now = got.failures, got.retry_at
        at.append(now)
    assert failures == len(ends)
    hour = timedelta(hours=1)
    assert all(sum(first <= other < first + hour for other in at) <= 240 for first in at[ENOUGH:])


@pytest.mark.parametrize("reason", RETRYING)
def test_one_of_a_link_that_is_not_there_yet_is_tried_again_within_seconds(reason: str) -> None:
    """Somebody waits before the link page."""
    got = reaction(reason, linked=False, failures=50)
    assert got.end_link or (got.retry_at is not None and got.retry_at <= NOW + timedelta(seconds=10))


def test_a_fight_over_the_link_goes_on_however_long_one_side_has_had_it() -> None:
    assert reaction("replaced", failures=3, up=timedelta(minutes=30)).failures == 4
    assert reaction("replaced", failures=3, up=timedelta(hours=1)).failures == 1


@pytest.mark.parametrize("reason", ["forbidden", "locked", "banned_temporarily"])
def test_what_whatsapp_does_to_the_number_is_an_alert(reason: str) -> None:
    assert reaction(reason).alert
    assert not any(reaction(other).alert for other in TRANSIENT)


def test_a_ban_says_what_for_in_plain_words() -> None:
    assert "same message to too many people" in reaction("banned_temporarily", kind="104").detail
    assert reaction("banned_temporarily", kind="999").detail == reaction("banned_temporarily").detail


def test_jitter_spreads_reconnections() -> None:
    at = [
        react("connection_lost", linked=True, failures=3, connected_for=None, detail={}, now=NOW, jitter=j / 10).retry_at
        for j in range(10)
    ]
    assert len(set(at)) == 10


def test_codes_that_ran_out_are_shown_anew_while_somebody_watches() -> None:
    got = reaction("link_expired", linked=False)
    assert (got.state, got.retry_at, got.end_link) == ("unlinked", NOW, False)


def test_a_passkey_ends_linking_in_plain_words() -> None:
    got = reaction("passkey_required", linked=False)
    assert got.end_link
    assert "passkey" in got.detail


def ends(*reasons: str, up: timedelta | None = None) -> Reaction:
    """What follows from the last of several ends in a row."""
    failures = crashes = 0
    for reason in reasons:
        got = reaction(reason, failures=failures, crashes=crashes, up=up)
        failures, crashes = got.failures, got.crashes
    return got


def test_a_session_that_crashes_is_tried_again_later_each_time_and_then_kept_apart() -> None:
    first, second, third = (ends(*["crashed"] * count) for count in (1, 2, 3))
    assert [(one.state, one.reason) for one in (first, second)] == [("disconnected", "crashed")] * 2
    assert first.retry_at is not None and NOW + timedelta(seconds=2) < first.retry_at <= NOW + timedelta(seconds=5)
    assert second.retry_at is not None and second.retry_at > first.retry_at
    assert ends("server_error", "server_error", "crashed").retry_at == first.retry_at
    assert (third.state, third.reason, third.retry_at) == ("blocked", "quarantined", None)
    assert "kept apart" in third.detail and "Restart" in third.detail


def test_other_failures_between_crashes_neither_count_as_crashes_nor_end_their_row() -> None:
    assert ends("connection_lost", "timed_out", "crashed").reason == "crashed"
    assert ends("crashed", "connection_lost", "crashed").reason == "crashed"
    assert ends("crashed", "crashed", "connection_lost").reason == "connection_lost"
    assert ends("crashed", "connection_lost", "crashed", "requested", "lease_ran_out", "crashed").reason == "quarantined"


def test_a_connection_that_lasted_ends_a_row_of_crashes() -> None:
    assert ends(*["crashed"] * 20, up=STABLE).reason == "crashed"
    assert ends(*["crashed"] * 20, up=STABLE - timedelta(seconds=1)).reason == "quarantined"


@given(st.lists(st.sampled_from(EVERY), max_size=12))
def test_nothing_but_crashes_brings_a_session_into_quarantine(reasons: list[str]) -> None:
    if reasons and ends(*reasons).reason == "quarantined":
        assert reasons.count("crashed") >= MOST_CRASHES
        assert reasons[-1] == "crashed"


def test_a_link_that_crashes_again_and_again_ends_and_may_be_asked_for_again() -> None:
    got = reaction("crashed", linked=False, crashes=MOST_CRASHES - 1)
    assert (got.state, got.reason, got.end_link, got.wipe) == ("unlinked", "quarantined", True, False)
    assert "another code" in got.detail


@pytest.mark.parametrize(("linked", "state"), [(True, "disconnected"), (False, "unlinked")])
def test_a_bridge_that_let_go_by_itself_opens_again_at_once(linked: bool, state: str) -> None:
    got = reaction("lease_ran_out", linked=linked, failures=7)
    assert (got.state, got.retry_at, got.failures, got.end_link) == (state, NOW, 7, False)
