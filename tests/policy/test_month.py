"""A month of a new number on a simulated clock: warm-up, a time-lock, a cap and its cycle, a ban, and changes of the clock."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from sessions_app.policy.lanes import Lane
from sessions_app.policy.local_time import wall
from sessions_app.policy.reasons import Held, Reason
from sessions_app.policy.restrictions import BUFFER, STEP, ask_at, ban_ends_at
from sessions_app.policy.rules import COLD, LanePolicy, Number, policy
from sessions_app.policy.signals import Ban, CapStatus, Connected, Event, NewChatCap, Refused, TimeLock
from sessions_app.policy.warmup import WarmUp
from sessions_app.policy.windows import Quiet
from tests.policy.simulated import Owner

BERLIN, NEW_YORK, SANTIAGO = ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("America/Santiago")
NIGHT = Quiet(time(22), time(8))
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def local(zone: ZoneInfo, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=zone).astimezone(UTC)


def new_number(zone: ZoneInfo, start: datetime, per_day: int = 80) -> Owner:
    rules = policy(zone, quiet=NIGHT, cold=LanePolicy(COLD.pace, 20, per_day))
    return Owner(rules, Number(WarmUp(wall(start, zone).date())), start)


def a_day(owner: Owner, lane: Lane = Lane.NEW) -> list[int]:
    """How many went on each day, in order, the days without any included."""
    days = Counter(wall(at, owner.policy.zone).date() for at in owner.times(lane))
    first, last = wall(owner.sent[0][1], owner.policy.zone).date(), wall(owner.now - HOUR, owner.policy.zone).date()
    return [days[first + n * DAY] for n in range((last - first).days + 1)]


def test_a_month_without_a_signal() -> None:
    owner = new_number(BERLIN, local(BERLIN, 3, 10))
    owner.run(Lane.NEW, until=local(BERLIN, 4, 9))
    assert a_day(owner) == [10, 15, 25, 40, 60] + [80] * 25


def test_a_restaurants_own_limit_stands_alone_after_the_ramp() -> None:
    high, low = new_number(BERLIN, local(BERLIN, 3, 10), 120), new_number(BERLIN, local(BERLIN, 3, 10), 30)
    for owner in (high, low):
        owner.run(Lane.NEW, until=local(BERLIN, 3, 18))
    assert a_day(high) == [10, 15, 25, 40, 60, 80, 120, 120]
    assert a_day(low) == [10, 15, 25, 30, 30, 30, 30, 30]


def test_an_operator_declares_the_age() -> None:
    owner = new_number(BERLIN, local(BERLIN, 3, 10))
    owner.number = Number(replace(owner.number.warm_up, declared_on=date(2026, 3, 10), declared_days=4))
    owner.run(Lane.NEW, until=local(BERLIN, 3, 13))
    assert a_day(owner) == [60, 80, 80]


def test_a_time_lock_and_its_end() -> None:
    owner = new_number(BERLIN, local(BERLIN, 3, 10))
    locked, until = local(BERLIN, 3, 13, 8, 5), local(BERLIN, 3, 14, 15)
    told: list[Event] = [
        Connected(local(BERLIN, 3, 10)), Refused(locked), TimeLock(locked + timedelta(seconds=2), active=True, until=until),
        TimeLock(until, active=False),
    ]  # fmt: skip
    owner.run(Lane.WARM, Lane.NEW, until=local(BERLIN, 3, 13, 12), events=told[:3])
    assert owner.ask(Lane.NEW) == Held(Reason.TIME_LOCK, until + BUFFER)
    assert ask_at(owner.number.known, locked + timedelta(seconds=2)) is not None
    owner.run(Lane.WARM, Lane.NEW, until=local(BERLIN, 3, 17), events=told[3:])
    strangers = owner.times(Lane.NEW)
    assert not [at for at in strangers if locked < at < until]
    assert min(at for at in strangers if at > locked) < until + 15 * timedelta(minutes=1)  # by itself, soon after
    # The two days of the lock are done again; what had been sent by then stays.
    counts = a_day(owner)
    assert counts[:3] == [10, 15, 25] and 0 < counts[3] < 40 and counts[4:] == [40, 40, 60]
    assert min(a_day(owner, Lane.WARM)) > 100  # regulars never noticed


def test_a_time_lock_without_an_end_is_asked_about_in_steps() -> None:
    owner = new_number(BERLIN, local(BERLIN, 6, 10))
    start = local(BERLIN, 6, 10, 8, 5)
    told: list[Event] = [
        TimeLock(start, active=True),
        TimeLock(start + STEP, active=True),
        TimeLock(start + 2 * STEP, active=False),
    ]
    owner.run(Lane.NEW, until=start + HOUR, events=told[:1])
    assert ask_at(owner.number.known, start) == start + STEP
    owner.run(Lane.NEW, until=start + 3 * STEP, events=told[1:])
    assert not [at for at in owner.times(Lane.NEW) if start < at < start + 2 * STEP]


def test_a_new_chat_cap_and_its_cycle() -> None:
    owner = new_number(BERLIN, local(BERLIN, 6, 1))
    owner.number = Number(WarmUp(date(2025, 1, 1)))
    cycle = local(BERLIN, 6, 5, 12)
    warned, capped = local(BERLIN, 6, 2, 9), local(BERLIN, 6, 3, 10)
    told: list[Event] = [
        NewChatCap(warned, CapStatus.FIRST_WARNING, 70, 100, cycle),
        NewChatCap(capped, CapStatus.CAPPED, 100, 100, cycle),
    ]
    owner.run(Lane.WARM, Lane.NEW, until=local(BERLIN, 6, 4), events=told)
    assert owner.ask(Lane.NEW) == Held(Reason.NEW_CHAT_CAP, cycle + BUFFER)
    owner.run(Lane.WARM, Lane.NEW, until=local(BERLIN, 6, 6))
    strangers = owner.times(Lane.NEW)
    between = [at for at in strangers if warned < at < capped]
    assert between and all(later - at >= timedelta(seconds=40) for at, later in pairwise(between))
    assert not [at for at in strangers if capped < at < cycle + BUFFER]
    assert min(at for at in strangers if at > capped) < cycle + BUFFER + 2 * timedelta(minutes=1)
    assert min(a_day(owner, Lane.WARM)) > 100


def test_a_second_warning_leaves_the_urgent_ones() -> None:
    owner = new_number(BERLIN, local(BERLIN, 6, 1, 12))
    owner.hear(NewChatCap(owner.now, CapStatus.SECOND_WARNING, 90, 100, local(BERLIN, 6, 20, 12)))
    owner.run(Lane.NEW, until=local(BERLIN, 6, 3))
    assert owner.sent == []
    assert owner.ask(Lane.NEW).reason is Reason.NEW_CHAT_WARNING  # type: ignore[union-attr]


def test_a_ban_ends_and_the_warm_up_begins_anew() -> None:
    owner = new_number(BERLIN, local(BERLIN, 3, 10))
    owner.run(Lane.NEW, until=local(BERLIN, 3, 20))
    owner.hear(Ban(owner.now, local(BERLIN, 3, 22, 9)))
    ends = ban_ends_at(owner.number.known)
    assert ends is not None
    owner.run(Lane.WARM, Lane.NEW, until=local(BERLIN, 3, 26))
    assert a_day(owner) == [10, 15, 25, 40, 60, 80, 80, 80, 80, 80, 0, 0, 10, 15, 25, 40]
    assert min(owner.times(Lane.WARM)) >= ends + BUFFER


CLOCKS = [
    (BERLIN, (3, 27), (3, 31)),
    (BERLIN, (10, 23), (10, 27)),
    (NEW_YORK, (3, 6), (3, 10)),
    (NEW_YORK, (10, 30), (11, 3)),
    (SANTIAGO, (9, 4), (9, 8)),
    (SANTIAGO, (4, 3), (4, 7)),
]


@pytest.mark.parametrize(("zone", "start", "end"), CLOCKS)
def test_days_in_which_the_clock_is_set(zone: ZoneInfo, start: tuple[int, int], end: tuple[int, int]) -> None:
    owner = new_number(zone, local(zone, *start))
    owner.number = Number(WarmUp(date(2025, 1, 1)))
    owner.run(Lane.WARM, Lane.NEW, until=local(zone, *end))
    assert a_day(owner) == [80] * 4
    shown = [wall(at, zone).time() for _, at, _ in owner.sent]
    assert min(shown) >= time(8) and max(shown) < time(22)
    mornings = [min(at for _, at, _ in owner.sent if at >= local(zone, *start) + n * DAY + 4 * HOUR) for n in range(4)]
    assert {wall(at, zone).strftime("%H:%M") for at in mornings} == {"08:00"}
