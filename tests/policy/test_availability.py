"""All rules together, over random histories on a simulated clock."""

from bisect import bisect_right
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_app.policy.availability import Ready, explain, gates, slot_at, today, when
from sessions_app.policy.budgets import HOUR
from sessions_app.policy.lanes import Lane
from sessions_app.policy.ledger import Ledger, noted
from sessions_app.policy.local_time import wall
from sessions_app.policy.pacing import Pace, delay_ms
from sessions_app.policy.priorities import Priority
from sessions_app.policy.reasons import Held, Reason
from sessions_app.policy.restrictions import BUFFER, LONGEST
from sessions_app.policy.rules import COLD, LanePolicy, Number, Policy, policy
from sessions_app.policy.signals import Ban, CapStatus, Connected, Event, Known, NewChatCap, Refused, TimeLock
from sessions_app.policy.warmup import WarmUp
from sessions_app.policy.windows import Quiet, next_open
from tests.policy.simulated import Owner, instant
from tests.policy.strategies import (
    NOW,
    OLD,
    events,
    jitters,
    knowns,
    lanes,
    ledgers,
    numbers,
    paces,
    policies,
    priorities,
    unlimited,
)

BERLIN = ZoneInfo("Europe/Berlin")
DAY = timedelta(days=1)
MS = timedelta(milliseconds=1)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Ledger, Policy, Number]:
    rules = draw(policies())
    return draw(ledgers(rules.zone)), rules, draw(numbers)


# --- (a), (b): limits and pauses


@settings(max_examples=60, deadline=None)
@given(rules=policies(), number=numbers, told=st.lists(events, max_size=4), seed=st.integers(0, 9), priority=priorities)
def test_no_history_breaks_a_rule(rules: Policy, number: Number, told: list[Event], seed: int, priority: Priority) -> None:
    owner = Owner(rules, number, NOW)
    owner.dice.seed(seed)
    for _ in range(120):
        lane = owner.dice.choice(list(Lane))
        owner.now = max(owner.now, instant(owner.ask(lane, priority))) + owner.dice.choice([0, 0, 0, 1, 400]) * timedelta(
            seconds=1
        )
        answer = owner.ask(lane, priority)  # a delay may have brought it into quiet hours
        if told and owner.dice.random() < 0.1:
            owner.hear(told.pop())
        elif isinstance(answer, Ready) and answer.at == owner.now:
            owner.send(lane)
            assert next_open(rules.hours_for(priority), owner.now) == owner.now
    strangers = sorted([*owner.times(Lane.COLD), *owner.times(Lane.NEW)])
    assert_within_hour(owner.times(Lane.WARM), rules.warm)
    assert_within_hour(strangers, rules.cold)
    assert_within_day(owner.times(Lane.WARM), rules.warm, rules.zone)
    assert_within_day(owner.times(Lane.NEW), rules.cold, rules.zone)
    assert_paced(owner, rules)


def assert_within_day(times: list[datetime], limits: LanePolicy, zone: ZoneInfo) -> None:
    per_day = Counter(wall(at, zone).date() for at in times)
    assert limits.per_day is None or max(per_day.values(), default=0) <= limits.per_day


def assert_within_hour(times: list[datetime], limits: LanePolicy) -> None:
    limit = len(times) if limits.per_hour is None else limits.per_hour
    assert all(n + 1 - bisect_right(times, at - HOUR) <= limit for n, at in enumerate(times))


def assert_paced(owner: Owner, rules: Policy) -> None:
    for (_, before, jitter), (_, after, _) in pairwise(owner.sent):
        assert after - before >= delay_ms(rules.warm.pace, jitter) * MS
    strangers = [(at, jitter) for lane, at, jitter in owner.sent if lane is not Lane.WARM]
    for (before, jitter), (after, _) in pairwise(strangers):
        assert after - before >= delay_ms(rules.cold.pace, jitter) * MS


# --- (c) It always goes on


@given(situation=situations(), lane=lanes, priority=priorities)
def test_what_is_held_goes_at_the_named_instant(situation: tuple[Ledger, Policy, Number], lane: Lane, priority: Priority) -> None:
    ledger, rules, number = situation
    answer = when(lane, priority, ledger=ledger, policy=rules, number=number, now=NOW)
    at = instant(answer)
    assert NOW <= at <= NOW + LONGEST + BUFFER + 40 * DAY
    assert when(lane, priority, ledger=ledger, policy=rules, number=number, now=at) == Ready(at)


@given(situation=situations(), lane=lanes, priority=priorities, share=st.floats(0, 1))
def test_asking_meanwhile_gives_the_same_answer(
    situation: tuple[Ledger, Policy, Number], lane: Lane, priority: Priority, share: float
) -> None:
    ledger, rules, number = situation
    at = instant(when(lane, priority, ledger=ledger, policy=rules, number=number, now=NOW))
    meanwhile = NOW + (at - NOW) * share
    assert instant(when(lane, priority, ledger=ledger, policy=rules, number=number, now=meanwhile)) == at


# --- (d) Nothing is wasted


@settings(max_examples=30, deadline=None)
@given(pace=paces, cold=paces, lane=lanes, seed=st.integers(0, 99))
def test_with_no_limit_in_the_way_the_pause_is_the_one_drawn(pace: Pace, cold: Pace, lane: Lane, seed: int) -> None:
    owner = Owner(unlimited(warm=pace, cold=cold), OLD, NOW)
    owner.dice.seed(seed)
    for _ in range(50):
        owner.now = instant(owner.ask(lane))
        owner.send(lane)
    assert owner.sent[0][1] == NOW
    for (_, before, jitter), (_, after, _) in pairwise(owner.sent):
        slow = 0 if lane is Lane.WARM else delay_ms(cold, jitter)
        assert after - before == max(delay_ms(pace, jitter), slow) * MS


def test_strangers_go_into_the_pauses_between_regulars() -> None:
    owner = Owner(unlimited(), OLD, NOW)
    owner.run(Lane.WARM, Lane.NEW, until=NOW + 6 * HOUR)
    warm, cold = owner.times(Lane.WARM), owner.times(Lane.NEW)
    assert len(cold) == pytest.approx(6 * 3_600 / 43, rel=0.1)  # a mean of 40 s, and of half a warm pause more
    assert len(warm) + len(cold) == pytest.approx(6 * 3_600 / 6, rel=0.05)


# --- (e) The lanes


@given(situation=situations(), known=knowns, priority=priorities)
def test_what_holds_strangers_never_delays_regulars(
    situation: tuple[Ledger, Policy, Number], known: Known, priority: Priority
) -> None:
    ledger, rules, number = situation
    full = replace(ledger, cold=replace(ledger.cold, hour=(NOW,) * 999, sent_on_day=999))
    worse = replace(number, known=replace(known, ban=number.known.ban, connected_at=number.known.connected_at))
    slower = replace(rules, cold=LanePolicy(Pace(900_000, 900_000), 1, 1))
    as_it_is = when(Lane.WARM, priority, ledger=ledger, policy=rules, number=number, now=NOW)
    assert when(Lane.WARM, priority, ledger=full, policy=slower, number=worse, now=NOW) == as_it_is


@given(situation=situations(), lane=lanes)
def test_the_more_urgent_goes_no_later(situation: tuple[Ledger, Policy, Number], lane: Lane) -> None:
    ledger, rules, number = situation
    at = [instant(when(lane, one, ledger=ledger, policy=rules, number=number, now=NOW)) for one in Priority]
    assert at == sorted(at)


@given(situation=situations())
def test_gates_say_the_same_as_asking_for_each(situation: tuple[Ledger, Policy, Number]) -> None:
    ledger, rules, number = situation
    got = gates(ledger=ledger, policy=rules, number=number, now=NOW)
    later = []
    for lane, gate in ((Lane.WARM, got.warm), (Lane.NEW, got.cold)):
        for priority in Priority:
            at = instant(when(lane, priority, ledger=ledger, policy=rules, number=number, now=NOW))
            assert (at <= NOW) == (gate is not None and priority <= gate)
            later += [at] if at > NOW else []
    assert got.next_at == min(later, default=None)


# --- Reasons


def held(lane: Lane = Lane.NEW, priority: Priority = Priority.NORMAL, **given: object) -> Held:
    asked = {"ledger": Ledger(), "policy": unlimited(), "number": OLD, "now": NOW, **given}
    answer = when(lane, priority, **asked)  # type: ignore[arg-type]
    assert isinstance(answer, Held)
    return answer


def ledger_with(count: int, lane: Lane, zone: ZoneInfo = BERLIN) -> Ledger:
    ledger = Ledger()
    for n in range(count):
        ledger = noted(ledger, lane, at=NOW - timedelta(minutes=count - n), jitter=0.5, zone=zone)
    return ledger


def test_a_new_number_says_that_it_is_new() -> None:
    new = Number(WarmUp(wall(NOW, BERLIN).date()))
    rules = policy(BERLIN, cold=LanePolicy(COLD.pace, 100, 80))
    midnight = datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert held(ledger=ledger_with(10, Lane.NEW), policy=rules, number=new) == Held(Reason.WARM_UP, midnight)
    assert held(ledger=ledger_with(80, Lane.NEW), policy=rules) == Held(Reason.DAILY_LIMIT, midnight)
    assert isinstance(when(Lane.NEW, Priority.LOW, ledger=ledger_with(9, Lane.NEW), policy=rules, number=new, now=NOW), Ready)


def test_the_hour_opens_when_its_first_message_leaves_it() -> None:
    rules = policy(BERLIN, warm=LanePolicy(Pace(0, 0), 10, 1_000))
    assert held(Lane.WARM, ledger=ledger_with(10, Lane.WARM), policy=rules) == Held(
        Reason.HOURLY_LIMIT, NOW + timedelta(minutes=50)
    )


def test_quiet_hours_let_urgent_ones_through_where_the_restaurant_says_so() -> None:
    night = datetime(2026, 6, 1, 21, tzinfo=UTC)
    quiet = Quiet(time(22), time(8))
    rules = policy(BERLIN, quiet=quiet, urgent_through_quiet=True)
    morning = datetime(2026, 6, 2, 6, tzinfo=UTC)
    assert held(Lane.WARM, Priority.HIGH, policy=rules, now=night) == Held(Reason.QUIET_HOURS, morning)
    asked = {"ledger": Ledger(), "number": OLD, "now": night}
    assert when(Lane.WARM, Priority.URGENT, policy=rules, **asked) == Ready(night)  # type: ignore[arg-type]
    assert held(Lane.WARM, Priority.URGENT, policy=policy(BERLIN, quiet=quiet), now=night).reason is Reason.QUIET_HOURS
    assert gates(policy=rules, **asked).warm is Priority.URGENT  # type: ignore[arg-type]


def test_send_windows_hold_even_urgent_ones() -> None:
    rules = policy(BERLIN, windows={0: [(time(9), time(17))]}, urgent_through_quiet=True)
    monday = datetime(2026, 3, 30, 7, tzinfo=UTC)
    assert held(Lane.WARM, Priority.URGENT, policy=rules) == Held(Reason.SEND_WINDOW, monday)


def test_a_hold_that_ends_at_night_goes_on_in_the_morning_and_says_why_it_began() -> None:
    rules = policy(BERLIN, quiet=Quiet(time(22), time(8)))
    locked = replace(OLD, known=Known(time_lock=TimeLock(NOW, active=True, until=datetime(2026, 3, 29, 1, 30, tzinfo=UTC))))
    assert held(policy=rules, number=locked) == Held(Reason.TIME_LOCK, datetime(2026, 3, 29, 6, tzinfo=UTC))


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (Known(ban=Ban(NOW, NOW + DAY)), Reason.BANNED),
        (Known(time_lock=TimeLock(NOW, active=True, until=NOW + DAY)), Reason.TIME_LOCK),
        (Known(cap=NewChatCap(NOW, CapStatus.CAPPED, 9, 9, NOW + DAY)), Reason.NEW_CHAT_CAP),
        (Known(cap=NewChatCap(NOW, CapStatus.SECOND_WARNING, 8, 9, NOW + DAY)), Reason.NEW_CHAT_WARNING),
        (Known(refused=(NOW,)), Reason.ASKING),
    ],
)
def test_each_restriction_names_itself(known: Known, reason: Reason) -> None:
    assert held(number=replace(OLD, known=known)).reason is reason


def test_a_warning_doubles_the_pause_between_strangers() -> None:
    warned = replace(OLD, known=Known(cap=NewChatCap(NOW, CapStatus.FIRST_WARNING, 7, 9, NOW + DAY)))
    ledger = noted(Ledger(), Lane.NEW, at=NOW, jitter=0.5, zone=BERLIN)
    asked = {"ledger": ledger, "policy": unlimited(), "now": NOW}
    assert slot_at(Lane.NEW, number=OLD, **asked) == NOW + timedelta(seconds=40)  # type: ignore[arg-type]
    assert slot_at(Lane.NEW, number=warned, **asked) == NOW + timedelta(seconds=80)  # type: ignore[arg-type]
    assert slot_at(Lane.WARM, number=warned, **asked) == NOW + timedelta(seconds=6)  # type: ignore[arg-type]


@given(situation=situations(), lane=lanes, priority=priorities, ahead=st.integers(0, 3), own=st.integers(-5, 900))
def test_every_waiting_message_has_a_reason_and_a_time(
    situation: tuple[Ledger, Policy, Number], lane: Lane, priority: Priority, ahead: int, own: int
) -> None:
    ledger, rules, number = situation
    answer = when(lane, priority, ledger=ledger, policy=rules, number=number, now=NOW)
    gap = Held(Reason.RECIPIENT_GAP, NOW + timedelta(seconds=own))
    why = explain(answer, ahead=ahead, expected_at=NOW + DAY, now=NOW, own=gap)
    assert why.until >= NOW
    if own > 0 or isinstance(answer, Held):
        assert why.until == max(gap.until, answer.until if isinstance(answer, Held) else NOW)
    else:
        assert (why.reason is Reason.QUEUE) == (ahead > 0)


def test_the_first_in_line_goes_after_the_pause_or_next() -> None:
    def why(at: datetime) -> Held:
        return explain(Ready(at), ahead=0, expected_at=at, now=NOW)

    assert why(NOW) == Held(Reason.NEXT, NOW)
    assert why(NOW + MS) == Held(Reason.PACE, NOW + MS)


# --- The page


@given(situation=situations(), lane=lanes)
def test_todays_budget_is_the_one_that_holds(situation: tuple[Ledger, Policy, Number], lane: Lane) -> None:
    ledger, rules, number = situation
    free = Number(number.warm_up)  # no restriction in the way
    budgets = today(lane, ledger=ledger, policy=rules, number=free, now=NOW)
    slot = slot_at(lane, ledger=ledger, policy=rules, number=free, now=NOW)
    answer = when(lane, Priority.NORMAL, ledger=ledger, policy=rules, number=free, now=NOW)
    if slot == NOW:
        spent = budgets.day.left == 0 or budgets.hour.left == 0
        closed = next_open(rules.hours, NOW) > NOW
        assert isinstance(answer, Held) == (spent or closed)
    own = None if lane is Lane.COLD else rules.of(lane).per_day
    most = own or 1_000_000
    assert (budgets.day.limit or 1_000_000) <= most
    assert budgets.warming_up == (budgets.day.limit is not None and budgets.day.limit < most)


def test_limits_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="for ever"):
        LanePolicy(Pace(0, 0), 0, 5)


@given(jitter=jitters)
def test_the_die_of_the_last_message_of_either_lane_makes_the_pause(jitter: float) -> None:
    ledger = noted(ledger_with(3, Lane.WARM), Lane.NEW, at=NOW, jitter=jitter, zone=BERLIN)
    at = instant(when(Lane.WARM, Priority.LOW, ledger=ledger, policy=unlimited(), number=OLD, now=NOW))
    assert at == NOW + delay_ms(Pace(2_000, 10_000), jitter) * MS


def test_a_refusal_is_asked_about_before_the_next_stranger() -> None:
    owner = Owner(unlimited(), OLD, NOW)
    owner.hear(Connected(NOW))
    owner.hear(Refused(NOW))
    assert owner.ask(Lane.NEW) == Held(Reason.ASKING, NOW + timedelta(seconds=60))
    assert owner.ask(Lane.WARM) == Ready(NOW)
