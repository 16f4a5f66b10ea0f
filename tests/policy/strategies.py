"""What the tests of the policies draw from."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from sessions_app.policy.lanes import Lane
from sessions_app.policy.ledger import Ledger, noted
from sessions_app.policy.pacing import Pace
from sessions_app.policy.priorities import Priority
from sessions_app.policy.rules import COLD, WARM, LanePolicy, Number, Policy, policy
from sessions_app.policy.signals import Ban, CapStatus, Connected, Event, Known, NewChatCap, Refused, TimeLock, fold
from sessions_app.policy.warmup import WarmUp
from sessions_app.policy.windows import WEEK, Hours, Quiet, opening_hours

NOW = datetime(2026, 3, 28, 12, tzinfo=UTC)

# Clocks set at 02:00, at midnight (forth: there is no midnight; back: to 23:00, or to a second midnight), by half an hour, by two
# hours, and never.
ZONES = [
    ZoneInfo(name)
    for name in (
        "Europe/Berlin", "America/New_York", "America/Santiago", "Asia/Beirut", "Atlantic/Azores", "America/Havana",
        "Australia/Lord_Howe", "Antarctica/Troll", "Africa/Casablanca", "Asia/Kolkata", "UTC",
    )
]  # fmt: skip
zones = st.sampled_from(ZONES)
# Around every change of those clocks in 2026, and anywhere in the year.
CHANGES = [
    datetime(2026, 2, 15, 2, tzinfo=UTC), datetime(2026, 3, 8, 5, tzinfo=UTC), datetime(2026, 3, 8, 7, tzinfo=UTC),
    datetime(2026, 3, 22, 2, tzinfo=UTC), datetime(2026, 3, 28, 22, tzinfo=UTC), datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC), datetime(2026, 4, 5, 3, tzinfo=UTC), datetime(2026, 9, 6, 4, tzinfo=UTC),
    datetime(2026, 10, 3, 15, tzinfo=UTC), datetime(2026, 10, 24, 21, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 11, 1, 5, tzinfo=UTC), datetime(2026, 11, 1, 6, tzinfo=UTC),
]  # fmt: skip
spans = st.integers(0, 40 * 86_400_000).map(lambda ms: timedelta(milliseconds=ms))
near = st.integers(-36 * 3_600_000, 36 * 3_600_000).map(lambda ms: timedelta(milliseconds=ms))
anywhere = st.integers(0, 365 * 86_400).map(lambda seconds: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
instants = st.builds(lambda at, off: at + off, st.sampled_from(CHANGES), near) | anywhere

jitters = st.floats(0, 1, exclude_max=True)
paces = st.tuples(st.integers(0, 60_000), st.integers(0, 60_000)).map(lambda bounds: Pace(min(bounds), max(bounds)))
lanes = st.sampled_from(Lane)
priorities = st.sampled_from(Priority)

clock_times = st.integers(0, 95).map(lambda quarter: time(quarter // 4, quarter % 4 * 15))
quiets = st.tuples(clock_times, clock_times).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: Quiet(*pair))
intervals = st.tuples(clock_times, clock_times)
windows = st.dictionaries(st.integers(0, 6), st.lists(intervals, min_size=1, max_size=3), min_size=1)


@st.composite
def hours_of(draw: st.DrawFn) -> Hours:
    zone, quiet, spans = draw(zones), draw(st.none() | quiets), draw(st.none() | windows)
    try:
        return opening_hours(zone, quiet=quiet, windows=spans)
    except ValueError:
        return Hours(zone, ((0, WEEK),))


lane_policies = st.builds(LanePolicy, pace=paces, per_hour=st.none() | st.integers(1, 30), per_day=st.none() | st.integers(1, 60))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    zone, quiet, spans = draw(zones), draw(st.none() | quiets), draw(st.none() | windows)
    try:
        hours, alone = opening_hours(zone, quiet=quiet, windows=spans), opening_hours(zone, windows=spans)
    except ValueError:
        hours = alone = opening_hours(zone)
    return Policy(hours, alone, draw(st.booleans()), draw(lane_policies), draw(lane_policies), draw(st.booleans()))


def unlimited(zone: ZoneInfo = ZONES[0], warm: Pace = WARM.pace, cold: Pace = COLD.pace) -> Policy:
    """Nothing but the pace."""
    return policy(zone, warm=LanePolicy(warm, 100_000, 100_000), cold=LanePolicy(cold, 100_000, 100_000))


moments = near.map(lambda off: NOW + off)
ends = st.none() | spans.map(lambda span: NOW - timedelta(days=5) + span)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(TimeLock, moments, st.booleans(), ends, st.sampled_from(["", "DEFAULT"])),
    st.builds(NewChatCap, moments, st.sampled_from(CapStatus), st.integers(0, 9), st.just(9), ends),
    st.builds(Ban, moments, ends),
    st.builds(Refused, moments),
    st.builds(Connected, moments),
)


def known_of(told: list[Event]) -> Known:
    known = Known()
    for event in told:
        known = fold(known, event)
    return known


knowns = st.lists(events, max_size=6).map(known_of)
dates = st.integers(-40, 3).map(lambda days: date(2026, 3, 28) + timedelta(days=days))
warm_ups = st.builds(
    WarmUp,
    started_on=dates,
    signal_days=st.frozensets(dates, max_size=5),
    restarted_on=st.none() | dates,
    declared_on=st.none() | dates,
    declared_days=st.integers(0, 9),
)
numbers = st.builds(Number, warm_up=warm_ups, known=knowns)
OLD = Number(WarmUp(date(2020, 1, 1)))  # long warm


@st.composite
def ledgers(draw: st.DrawFn, zone: ZoneInfo, now: datetime = NOW) -> Ledger:
    """Any history, also one that today's limits would not have let happen."""
    gaps = draw(st.lists(st.tuples(lanes, st.integers(0, 1_200_000), jitters), max_size=40))
    ledger, at = Ledger(), now - timedelta(milliseconds=sum(gap for _, gap, _ in gaps))
    for lane, gap, jitter in gaps:
        at += timedelta(milliseconds=gap)
        ledger = noted(ledger, lane, at=at, jitter=jitter, policy=unlimited(zone))
    return ledger


@st.composite
def situations(draw: st.DrawFn) -> tuple[Ledger, Policy, Number]:
    rules = draw(policies())
    return draw(ledgers(rules.zone)), rules, draw(numbers)


def ledger_with(count: int, lane: Lane, zone: ZoneInfo = ZONES[0]) -> Ledger:
    """One a minute until a minute ago."""
    ledger = Ledger()
    for n in range(count):
        ledger = noted(ledger, lane, at=NOW - timedelta(minutes=count - n), jitter=0.5, policy=unlimited(zone))
    return ledger
