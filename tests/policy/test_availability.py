"""All rules together, over random histories on a simulated clock."""

from bisect import bisect_right
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_app.policy.availability import Ready, gates, slot_at, today, when
from sessions_app.policy.budgets import HOUR
from sessions_app.policy.lanes import Lane
from sessions_app.policy.ledger import Ledger, noted
from sessions_app.policy.local_time import wall
from sessions_app.policy.pacing import Pace, delay_ms
from sessions_app.policy.priorities import Priority
from sessions_app.policy.reasons import Held, Reason
from sessions_app.policy.restrictions import BUFFER, LONGEST
from sessions_app.policy.rules import LanePolicy, Number, Policy
from sessions_app.policy.signals import Connected, Event, Known, Refused
from sessions_app.policy.windows import next_open
from tests.policy.simulated import Owner, instant
from tests.policy.strategies import (
    NOW,
    OLD,
    events,
    jitters,
    knowns,
    lanes,
    ledger_with,
    numbers,
    paces,
    policies,
    priorities,
    situations,
    unlimited,
)

BERLIN = ZoneInfo("Europe/Berlin")
DAY = timedelta(days=1)
MS = timedelta(milliseconds=1)


# --- (a), (b): limits and pauses


@settings(max_examples=60)
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


@settings(max_examples=30)
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


@given(situation=situations(), passed=st.integers(0, 300))
def test_gates_say_the_same_as_asking_for_each(situation: tuple[Ledger, Policy, Number], passed: int) -> None:
    ledger, rules, number = situation
    now = NOW + timedelta(seconds=passed)
    got = gates(ledger=ledger, policy=rules, number=number, now=now)
    for lane, gate in ((Lane.WARM, got.warm), (Lane.COLD, got.cold), (Lane.NEW, got.new)):
        for priority in Priority:
            at = instant(when(lane, priority, ledger=ledger, policy=rules, number=number, now=now))
            assert (at <= now) == (gate is not None and priority <= gate)


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
    ledger = noted(ledger_with(3, Lane.WARM), Lane.NEW, at=NOW, jitter=jitter, policy=unlimited())
    at = instant(when(Lane.WARM, Priority.LOW, ledger=ledger, policy=unlimited(), number=OLD, now=NOW))
    assert at == NOW + delay_ms(Pace(2_000, 10_000), jitter) * MS


def test_a_refusal_is_asked_about_before_the_next_stranger() -> None:
    owner = Owner(unlimited(), OLD, NOW)
    owner.hear(Connected(NOW))
    owner.hear(Refused(NOW))
    assert owner.ask(Lane.NEW) == Held(Reason.ASKING, NOW + timedelta(seconds=60))
    assert owner.ask(Lane.WARM) == Ready(NOW)
