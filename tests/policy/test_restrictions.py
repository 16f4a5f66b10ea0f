"""WhatsApp's signals: told in any order they come to the same, every hold ends, and only a ban holds regulars."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.lanes import Lane
from sessions_app.policy.priorities import Priority
from sessions_app.policy.reasons import Held, Reason
from sessions_app.policy.restrictions import (
    ASK_AGAIN,
    ASKING,
    BUFFER,
    DEBOUNCE,
    LONGEST,
    PARKED_LONGEST,
    REFUSALS_HOLD,
    STEP,
    ask_at,
    ban_ends_at,
    cap_ends_at,
    hold,
    lock_ends_at,
    parked_until,
    refusal_means,
    restricted,
    slow_until,
    spoiled_days,
)  # fmt: skip
from sessions_app.policy.signals import (
    Ban,
    CapStatus,
    Connected,
    Event,
    Known,
    NewChatCap,
    Refused,
    TimeLock,
    cap_status,
    fold,
)  # fmt: skip
from tests.policy.strategies import NOW, events, known_of, knowns, lanes, priorities

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def cold(known: Known, priority: Priority = Priority.NORMAL) -> Held | None:
    return hold(known, Lane.NEW, priority)


# --- Folding


@given(told=st.lists(events, max_size=5), data=st.data())
def test_the_order_does_not_matter_nor_how_often_it_is_told(told: list[Event], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(told + told[:2]))
    assert known_of(shuffled) == known_of(told)


def test_a_late_old_event_changes_nothing() -> None:
    over, on = TimeLock(NOW, active=False), TimeLock(NOW - HOUR, active=True, until=NOW + DAY)
    for order in permutations([over, on]):
        assert cold(known_of(list(order))) is None


def test_of_two_things_said_at_once_the_graver_counts() -> None:
    locks: list[Event] = [TimeLock(NOW, active=False, until=NOW + DAY), TimeLock(NOW, active=True)]
    caps: list[Event] = [NewChatCap(NOW, CapStatus.CAPPED), NewChatCap(NOW, CapStatus.NONE, 9, 9, NOW + DAY)]
    for told in (locks, locks[::-1], caps, caps[::-1]):
        assert cold(known_of(told)) is not None


@given(known=knowns, event=events)
def test_what_is_known_is_never_older_than_before(known: Known, event: Event) -> None:
    later = fold(known, event)
    for before, after in ((known.time_lock, later.time_lock), (known.cap, later.cap), (known.ban, later.ban)):
        assert before is None or (after is not None and after.at >= before.at)


def test_a_word_of_a_later_version_counts_as_a_warning() -> None:
    assert cap_status("CAPPED") is CapStatus.CAPPED
    assert cap_status("SOMETHING_NEW") is CapStatus.FIRST_WARNING


# --- Holds


def test_a_time_lock_holds_strangers_until_its_end_and_a_little_longer() -> None:
    known = known_of([TimeLock(NOW, active=True, until=NOW + DAY)])
    assert cold(known) == Held(Reason.TIME_LOCK, NOW + DAY + BUFFER)
    assert hold(known, Lane.WARM, Priority.LOW) is None


@pytest.mark.parametrize("until", [None, NOW - DAY])
def test_a_lock_without_a_sensible_end_is_held_in_steps(until: datetime | None) -> None:
    known = known_of([TimeLock(NOW, active=True, until=until)])
    assert cold(known) == Held(Reason.TIME_LOCK, NOW + STEP + BUFFER)
    again = fold(known, TimeLock(NOW + STEP, active=True))
    assert cold(again) == Held(Reason.TIME_LOCK, NOW + 2 * STEP + BUFFER)


def test_an_end_that_is_too_far_away_is_not_believed() -> None:
    known = known_of([TimeLock(NOW, active=True, until=NOW + 9_000 * DAY)])
    assert cold(known) == Held(Reason.TIME_LOCK, NOW + LONGEST + BUFFER)


def test_warnings_slow_down_and_the_second_leaves_the_urgent_ones() -> None:
    first = known_of([NewChatCap(NOW, CapStatus.FIRST_WARNING, 70, 100, NOW + 9 * DAY)])
    assert cold(first) is None
    assert slow_until(first, Lane.NEW) == NOW + 9 * DAY
    assert slow_until(first, Lane.WARM) is None
    second = fold(first, NewChatCap(NOW + HOUR, CapStatus.SECOND_WARNING, 90, 100, NOW + 9 * DAY))
    assert slow_until(second, Lane.NEW) == NOW + 9 * DAY
    assert cold(second) == Held(Reason.NEW_CHAT_WARNING, NOW + 9 * DAY + BUFFER)
    assert cold(second, Priority.HIGH) is None


def test_a_used_up_quota_holds_strangers_to_the_end_of_the_cycle() -> None:
    known = known_of([NewChatCap(NOW, CapStatus.CAPPED, 100, 100, NOW + 9 * DAY)])
    assert cold(known, Priority.URGENT) == Held(Reason.NEW_CHAT_CAP, NOW + 9 * DAY + BUFFER)
    assert cold(fold(known, NewChatCap(NOW + DAY, CapStatus.NONE))) is None


def test_a_ban_holds_everything_until_its_end_or_until_the_number_is_let_in() -> None:
    known = known_of([Ban(NOW, NOW + DAY)])
    assert hold(known, Lane.WARM, Priority.URGENT) == Held(Reason.BANNED, NOW + DAY + BUFFER)
    assert hold(fold(known, Connected(NOW - HOUR)), Lane.WARM, Priority.URGENT) is not None
    assert hold(fold(known, Connected(NOW + HOUR)), Lane.WARM, Priority.URGENT) is None


@given(known=knowns, lane=lanes, priority=priorities)
def test_every_hold_ends(known: Known, lane: Lane, priority: Priority) -> None:
    held = hold(known, lane, priority)
    told = [part.at for part in (known.time_lock, known.cap, known.ban) if part is not None] + list(known.refused)
    if held is not None:
        assert held.until <= max(told) + LONGEST + BUFFER


@given(known=knowns, event=events.filter(lambda event: not isinstance(event, Ban | Connected)), priority=priorities)
def test_only_a_ban_holds_regulars(known: Known, event: Event, priority: Priority) -> None:
    assert hold(fold(known, event), Lane.WARM, priority) == hold(known, Lane.WARM, priority)
    assert slow_until(known, Lane.WARM) is None


@given(known=knowns, lane=lanes)
def test_the_more_urgent_is_never_held_longer(known: Known, lane: Lane) -> None:
    untils = [held.until if (held := hold(known, lane, priority)) else NOW - LONGEST for priority in Priority]
    assert untils == sorted(untils)


# --- Refusals (463)


def test_a_refusal_holds_strangers_until_whatsapp_was_asked() -> None:
    known = known_of([Refused(NOW)])
    assert cold(known) == Held(Reason.ASKING, NOW + ASKING)
    assert refusal_means(known, NOW) == "ask"
    locked, free = fold(known, TimeLock(NOW + HOUR, active=True)), fold(known, TimeLock(NOW + HOUR, active=False))
    assert (refusal_means(locked, NOW), refusal_means(free, NOW)) == ("lane", "contact")
    assert cold(free) is None


def test_several_refusals_in_an_hour_stop_writing_to_strangers() -> None:
    off = TimeLock(NOW + HOUR, active=False)
    known = known_of([Refused(NOW), Refused(NOW + HOUR / 2), Refused(NOW + HOUR), off])
    assert cold(known) == Held(Reason.REFUSED, NOW + HOUR + REFUSALS_HOLD)
    apart = known_of([Refused(NOW), Refused(NOW + HOUR / 2), Refused(NOW + HOUR * 2), TimeLock(NOW + DAY, active=False)])
    assert cold(apart) is None


@given(refusals=st.integers(1, 10_000))
def test_a_contact_is_parked_longer_each_time_up_to_a_limit(refusals: int) -> None:
    assert parked_until(1, NOW) == NOW + DAY
    until = parked_until(refusals, NOW)
    assert NOW + DAY <= until <= parked_until(refusals + 1, NOW) <= NOW + PARKED_LONGEST


# --- Asking


def test_it_is_asked_on_login_and_on_a_refusal_a_minute_apart() -> None:
    assert ask_at(Known(), None) is None
    known = known_of([Connected(NOW)])
    assert ask_at(known, None) == NOW
    assert ask_at(known, NOW) == NOW + ASK_AGAIN  # no answer came
    answered = known_of([Connected(NOW), TimeLock(NOW, active=False), NewChatCap(NOW, CapStatus.NONE)])
    assert ask_at(answered, NOW) is None
    refused = fold(answered, Refused(NOW + timedelta(seconds=5)))
    assert ask_at(refused, NOW) == NOW + DEBOUNCE
    burst = fold(fold(refused, Refused(NOW + timedelta(seconds=6))), Refused(NOW + timedelta(seconds=7)))
    assert ask_at(burst, NOW) == NOW + DEBOUNCE
    assert ask_at(fold(burst, TimeLock(NOW + DEBOUNCE, active=False)), NOW + DEBOUNCE) is None


def test_it_is_asked_again_when_a_restriction_should_be_over() -> None:
    known = known_of([TimeLock(NOW, active=True, until=NOW + DAY), NewChatCap(NOW, CapStatus.CAPPED, 9, 9, NOW + 2 * DAY)])
    assert ask_at(known, NOW) == NOW + DAY
    after = fold(known, TimeLock(NOW + DAY, active=False))
    assert ask_at(after, NOW + DAY) == NOW + 2 * DAY


@given(known=knowns, asked=st.none() | st.integers(-48, 48).map(lambda h: NOW + h * HOUR))
def test_it_is_never_asked_twice_within_a_minute(known: Known, asked: datetime | None) -> None:
    at = ask_at(known, asked)
    if at is not None and asked is not None:
        assert at >= asked + DEBOUNCE


@given(known=knowns)
def test_every_restriction_is_asked_about_when_it_should_be_over(known: Known) -> None:
    ends = [end for end in (lock_ends_at(known), cap_ends_at(known)) if end is not None]
    at = ask_at(known, None)
    if ends:
        assert at is not None and at <= min(ends)


@given(known=knowns, asked=st.none() | st.integers(-48, 48).map(lambda h: NOW + h * HOUR))
def test_of_a_number_that_is_known_to_be_free_nothing_is_asked(known: Known, asked: datetime | None) -> None:
    assert restricted(known) or ask_at(known, asked) is None


def test_what_may_have_to_be_asked_about() -> None:
    free: list[Event] = [TimeLock(NOW, active=False), NewChatCap(NOW, CapStatus.NONE)]
    bad: list[Event] = [TimeLock(NOW, active=True), NewChatCap(NOW, CapStatus.FIRST_WARNING), Refused(NOW), Connected(NOW)]
    assert not restricted(Known()) and not restricted(known_of(free))
    assert all(restricted(known_of([*free, event])) for event in bad)


# --- Warm-up


def test_a_signal_spoils_the_restaurants_day() -> None:
    late = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)  # already the 29th in Berlin
    berlin = ZoneInfo("Europe/Berlin")
    bad: list[Event] = [Refused(late), Ban(late), TimeLock(late, active=True), NewChatCap(late, CapStatus.FIRST_WARNING)]
    assert {str(day) for event in bad for day in spoiled_days(event, Known(), berlin)} == {"2026-03-29"}
    good: list[Event] = [Connected(late), TimeLock(late, active=False), NewChatCap(late, CapStatus.NONE)]
    assert {spoiled_days(event, Known(), berlin) for event in good} == {frozenset()}


def test_the_end_of_a_ban_is_known() -> None:
    assert ban_ends_at(known_of([Ban(NOW)])) == NOW + STEP
