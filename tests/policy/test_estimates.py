"""Estimates: no place further back has an earlier one, and they are near what then happens."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.availability import when
from sessions_app.policy.budgets import Tally
from sessions_app.policy.estimates import estimated_send_at, open_time
from sessions_app.policy.lanes import Lane
from sessions_app.policy.ledger import Ledger
from sessions_app.policy.local_time import local_day
from sessions_app.policy.pacing import Pace
from sessions_app.policy.priorities import Priority
from sessions_app.policy.rules import COLD, WARM, LanePolicy, Number, Policy, policy
from sessions_app.policy.signals import CapStatus, Known, NewChatCap
from sessions_app.policy.warmup import WarmUp
from sessions_app.policy.windows import Hours, Quiet, closed_hours, next_open
from tests.policy.simulated import Owner, instant
from tests.policy.strategies import NOW, OLD, hours_of, instants, lanes, priorities, situations

BERLIN = ZoneInfo("Europe/Berlin")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@given(situation=situations(), lane=lanes, priority=priorities, ahead=st.integers(0, 500), ready=st.integers(-5, 90))
def test_a_place_further_back_is_never_earlier(
    situation: tuple[Ledger, Policy, Number], lane: Lane, priority: Priority, ahead: int, ready: int
) -> None:
    ledger, rules, number = situation
    ready_at = NOW + ready * HOUR

    def estimate(ahead: int) -> datetime:
        return estimated_send_at(
            lane, priority, ahead=ahead, ready_at=ready_at, ledger=ledger, policy=rules, number=number, now=NOW
        )

    here = estimate(ahead)
    assert here <= estimate(ahead + 1)
    assert here >= estimate(0) >= max(NOW, ready_at)
    assert next_open(rules.hours_for(priority), here) == here
    if ready <= 0:
        assert estimate(0) == instant(when(lane, priority, ledger=ledger, policy=rules, number=number, now=NOW))


NIGHT = Quiet(time(22), time(8))
NEW = Number(WarmUp(NOW.astimezone(BERLIN).date()))
WARNED = Number(OLD.warm_up, Known(cap=NewChatCap(NOW, CapStatus.FIRST_WARNING, 1, 9, NOW + 30 * DAY)))
UNEVEN = {day: [(time(11, 30), time(14)), (time(17), time(22, 30))] for day in range(6)}
CASES = [
    ("the pace alone", Lane.WARM, policy(BERLIN), OLD, 150, 0.1),
    ("the hour's limit", Lane.WARM, policy(BERLIN), OLD, 700, 0.1),
    (
        "the night between",
        Lane.WARM,
        policy(BERLIN, quiet=NIGHT, warm=LanePolicy(Pace(30_000, 90_000), 200, 1_000)),
        OLD,
        700,
        0.1,
    ),
    ("several days", Lane.WARM, policy(BERLIN, quiet=NIGHT, warm=LanePolicy(WARM.pace, 200, 300)), OLD, 1_000, 0.1),
    ("windows", Lane.WARM, policy(BERLIN, windows=UNEVEN, warm=LanePolicy(Pace(40_000, 80_000), 200, 900)), OLD, 1_500, 0.1),
    ("a new number", Lane.NEW, policy(BERLIN), NEW, 180, 0.05),
    ("a warned number", Lane.NEW, policy(BERLIN, cold=LanePolicy(COLD.pace, 99, 999)), WARNED, 300, 0.15),
]


@pytest.mark.parametrize(("lane", "rules", "number", "ahead", "off"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_it_is_near_what_then_happens(lane: Lane, rules: Policy, number: Number, ahead: int, off: float) -> None:
    for start in (NOW, NOW + 50 * HOUR):
        owner = Owner(rules, number, start)
        owner.run(lane, until=start + 30 * MINUTE)  # somewhere in the middle of the day's work
        told = estimated_send_at(
            lane,
            Priority.NORMAL,
            ahead=ahead,
            ready_at=owner.now,
            ledger=owner.ledger,
            policy=rules,
            number=number,
            now=owner.now,
        )
        asked, before = owner.now, len(owner.sent)
        while len(owner.sent) <= before + ahead:
            owner.run(lane, until=owner.now + HOUR)
        went = owner.sent[before + ahead][1]
        assert abs(told - went) <= off * (went - asked) + 2 * MINUTE, (told, went)


@given(hours=hours_of(), start=instants, span=st.integers(0, 200_000).map(lambda s: timedelta(seconds=s)))
def test_open_time_is_as_much_as_was_asked_for(hours: Hours, start: datetime, span: timedelta) -> None:
    end, shut = open_time(hours, start, span), closed_hours(hours)
    if shut is None:
        assert end == start + span
        return
    passed, at = timedelta(), start
    while at < end:
        opens = next_open(hours, at)
        closes = min(next_open(shut, opens), end)
        passed, at = passed + max(timedelta(), closes - opens), max(closes, opens)
    assert passed == span


def test_a_day_that_is_too_short_for_its_budget_pushes_no_place_past_the_next_one() -> None:
    rules = policy(BERLIN, warm=LanePolicy(Pace(1_200_000, 1_200_000), 50, 100))  # a pause of 20 minutes: 72 fit into a day
    day = local_day(BERLIN, NOW)
    spent = Ledger(warm=Tally(NOW - HOUR, 0.5, (), day, 99))
    told = [
        estimated_send_at(
            Lane.WARM, Priority.LOW, ahead=ahead, ready_at=NOW, ledger=spent, policy=rules, number=OLD, now=day.starts_at + HOUR
        )
        for ahead in range(400)
    ]
    assert told == sorted(told)


def test_a_very_long_queue_is_answered() -> None:
    far = estimated_send_at(
        Lane.NEW, Priority.LOW, ahead=10_000, ready_at=NOW, ledger=Ledger(), policy=policy(BERLIN), number=NEW, now=NOW
    )
    assert far >= NOW + 59 * DAY
