"""What a session may send today, and why not more now: told from its row, its tallies and its restaurant's settings."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from sessions_app.models import Restaurant, Session
from sessions_app.policy.availability import Ready
from sessions_app.policy.lanes import Lane
from sessions_app.policy.local_time import local_day
from sessions_app.policy.priorities import Priority
from sessions_app.policy.reasons import Held, Reason
from sessions_app.policy.restrictions import ASKING, BUFFER, REFUSALS_HOLD
from sessions_app.policy.signals import Ban, CapStatus, Connected, Event, NewChatCap, Refused, TimeLock
from sessions_app.services import outlook, sessions, standing
from sessions_app.services.outlook import Outlook
from tests.support.owning import ago, linked_sessions, old, rules, tally

BERLIN = ZoneInfo("Europe/Berlin")
QUARTER, HOUR, DAY = timedelta(minutes=15), timedelta(hours=1), timedelta(days=1)
WARM, COLD, NEW = 0, 1, 2  # as in Message.Lane
NOON = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)  # a Monday, 12:00 in Berlin


@pytest.fixture(autouse=True)
def installation(settings: Settings) -> None:
    settings.PACE_MIN_DELAY_MS, settings.PACE_MAX_DELAY_MS = 2_000, 10_000
    settings.COLD_MIN_DELAY_MS, settings.COLD_MAX_DELAY_MS = 20_000, 60_000
    settings.STRANGERS_DAILY_LIMIT, settings.WARM_UP = 80, True


def look(session: Session, now: datetime | None = None) -> Outlook:
    return outlook.of_session(Session.objects.select_related("restaurant").get(pk=session.pk), now=now)


def midnight() -> datetime:
    return local_day(BERLIN, timezone.now()).starts_at


def why(session: Session, lane: Lane, priority: Priority = Priority.NORMAL, now: datetime = NOON) -> tuple[str, datetime | None]:
    answer = look(session, now).when(lane, priority)
    return ("", None) if isinstance(answer, Ready) else (str(answer.reason), answer.until)


# --- Budgets


def test_each_lane_has_its_budget_of_today(session: Session) -> None:
    rules(daily_limit=50, hourly_limit=20, strangers_daily_limit=30)
    for lane, yesterday, today in ((WARM, 40, 7), (COLD, 3, 4), (NEW, 9, 12)):
        tally(old(session), midnight() - QUARTER, lane, yesterday)
        tally(session, midnight(), lane, today)
    now = look(session)
    budgets = {lane: now.today(lane).day for lane in Lane}
    told = {lane: (budget.limit, budget.used, budget.left) for lane, budget in budgets.items()}
    # Strangers who had their first message before cost nothing more; the budget is of new chats.
    assert told == {Lane.WARM: (50, 7, 43), Lane.NEW: (30, 12, 18), Lane.COLD: (None, 4, None)}
    assert {budget.resets_at for budget in budgets.values()} == {local_day(BERLIN, timezone.now()).ends_at}


def test_without_limits_nothing_is_left_to_count_down(session: Session) -> None:
    rules(protect_strangers=False)
    tally(old(session), midnight(), WARM, 500)
    for lane in Lane:
        today = look(session).today(lane)
        assert (today.day.limit, today.day.left, today.hour.limit, today.warming_up) == (None, None, None, False)
    assert look(session).today(Lane.WARM).day.used == 500


def test_more_than_the_limit_leaves_nothing_and_not_less(session: Session) -> None:
    rules(daily_limit=5)
    tally(old(session), midnight(), WARM, 7)
    assert look(session).today(Lane.WARM).day.left == 0


def test_a_new_day_begins_at_the_restaurants_midnight(session: Session) -> None:
    rules(daily_limit=50)
    tally(old(session), midnight(), WARM, 7)
    day = local_day(BERLIN, timezone.now())
    before, after = (look(session, day.ends_at + span).today(Lane.WARM).day for span in (-timedelta(seconds=1), timedelta()))
    assert (before.used, before.resets_at, after.used) == (7, day.ends_at, 0)
    assert after.resets_at == local_day(BERLIN, day.ends_at).ends_at


def test_another_places_day_is_another_one(session: Session) -> None:
    """The same tally, an hour after midnight in Berlin: in Auckland that day began half a day before."""
    now = midnight() + HOUR
    tally(old(session), midnight() - QUARTER, WARM, 7)
    assert look(session, now).today(Lane.WARM).day.used == 0
    rules(time_zone="Pacific/Auckland")
    assert look(session, now).today(Lane.WARM).day.used == 7


def test_the_hour_is_told_from_quarters_and_never_too_low(session: Session) -> None:
    """The strangers' lanes share it; what was sent in a quarter counts as sent at its end."""
    rules(hourly_limit=10)
    now = timezone.now()
    this = datetime.fromtimestamp(now.timestamp() // 900 * 900, UTC)
    for quarters, lane, sent in ((0, WARM, 1), (1, WARM, 2), (4, WARM, 4), (5, WARM, 8), (0, COLD, 1), (1, NEW, 2)):
        tally(old(session), this - quarters * QUARTER, lane, sent)
    found = look(session, now)
    warm, cold = found.today(Lane.WARM).hour, found.today(Lane.NEW).hour
    assert (warm.limit, warm.used, warm.left, warm.resets_at) == (10, 7, 3, this - 3 * QUARTER + HOUR)
    assert (cold.used, cold.left) == (3, 7) and found.today(Lane.COLD).hour == cold


def test_the_end_of_the_hour_does_not_move_while_nothing_is_sent(session: Session) -> None:
    """Nothing of the quarter was sent later than the session's last."""
    rules(hourly_limit=2)
    this = datetime.fromtimestamp(timezone.now().timestamp() // 900 * 900, UTC)
    tally(old(session), this, WARM, 2)
    Session.objects.update(last_sent_at=this + timedelta(minutes=1))
    for minutes in (2, 9, 20):
        hour = look(session, this + timedelta(minutes=minutes)).today(Lane.WARM).hour
        assert (hour.left, hour.resets_at) == (0, this + timedelta(minutes=61))


def test_many_sessions_cost_two_queries(restaurant: Restaurant) -> None:
    made = linked_sessions(restaurant, 20)
    for n, one in enumerate(made):
        tally(one, midnight(), WARM, n + 1)
    with CaptureQueriesContext(connection) as queries:
        found = outlook.of_sessions(made)
    assert len(queries) == 2
    assert [found[one.pk].today(Lane.WARM).day.used for one in made] == list(range(1, 21))


# --- The warm-up


@pytest.mark.parametrize(("days", "limit"), [(0, 10), (1, 15), (2, 25), (3, 40), (4, 60), (5, 80), (6, 80), (300, 80)])
def test_a_number_writes_to_more_strangers_each_good_day(session: Session, days: int, limit: int) -> None:
    Session.objects.update(first_linked_at=NOON - days * DAY)
    today = look(session, NOON).today(Lane.NEW)
    assert (today.day.limit, today.warming_up) == (limit, days < 5)
    assert look(session, NOON).today(Lane.COLD).day.limit is None


def test_a_number_that_was_never_linked_is_new(session: Session) -> None:
    assert look(session).today(Lane.NEW).day.limit == 10


def test_days_with_a_signal_are_no_good_days(session: Session) -> None:
    Session.objects.update(first_linked_at=NOON - 4 * DAY)
    standing.note(facts=[(session.pk, Refused(NOON - 2 * DAY)), (session.pk, Refused(NOON - 2 * DAY - HOUR))])
    assert look(session, NOON).today(Lane.NEW).day.limit == 40
    standing.note(facts=[(session.pk, Refused(NOON))])  # today was none before
    assert look(session, NOON).today(Lane.NEW).day.limit == 40


def test_an_operator_says_how_old_a_number_is(session: Session) -> None:
    Session.objects.update(first_linked_at=timezone.now())
    assert look(session).today(Lane.NEW).day.limit == 10
    sessions.declare_age(session=session, good_days=3, actor="ada")
    assert look(session).today(Lane.NEW).day.limit == 40
    assert look(session, timezone.now() + 2 * DAY).today(Lane.NEW).day.limit == 80
    sessions.declare_age(session=session, good_days=0)
    assert look(session).today(Lane.NEW).day.limit == 10


def test_what_happened_last_counts_of_a_ban_and_a_declaration(session: Session) -> None:
    today = NOON.astimezone(BERLIN).date()
    old(session, declared_days=9, declared_on=today - 5 * DAY)
    standing.note(facts=[(session.pk, Ban(NOON - 3 * DAY))])
    assert look(session, NOON).today(Lane.NEW).day.limit == 25  # two good days since
    Session.objects.update(declared_on=today - DAY)
    assert look(session, NOON).today(Lane.NEW).day.limit == 80


def test_a_restaurants_own_limit_is_never_raised_by_the_ramp(session: Session, settings: Settings) -> None:
    rules(strangers_daily_limit=12)
    for days, limit, warming_up in ((0, 10, True), (1, 12, False), (9, 12, False)):
        Session.objects.update(first_linked_at=NOON - days * DAY)
        today = look(session, NOON).today(Lane.NEW)
        assert (today.day.limit, today.warming_up) == (limit, warming_up)
    settings.WARM_UP = False
    Session.objects.update(first_linked_at=NOON)
    assert look(session, NOON).today(Lane.NEW).day.limit == 12
    rules(strangers_daily_limit=None)
    assert look(session, NOON).today(Lane.NEW).day.limit == 80
    settings.STRANGERS_DAILY_LIMIT = 0
    assert look(session, NOON).today(Lane.NEW).day.limit is None


# --- Why it waits


@pytest.mark.parametrize(
    ("columns", "used", "lane", "reason"),
    [
        ({"daily_limit": 7}, (WARM, 7), Lane.WARM, Reason.DAILY_LIMIT),
        ({"strangers_daily_limit": 7}, (NEW, 7), Lane.NEW, Reason.DAILY_LIMIT),
        ({"strangers_daily_limit": 7}, (COLD, 9), Lane.NEW, None),
        ({"strangers_daily_limit": 7}, (NEW, 9), Lane.COLD, None),
        ({"strangers_daily_limit": 7, "daily_limit": 7}, (NEW, 9), Lane.WARM, None),
        ({"daily_limit": 8}, (WARM, 7), Lane.WARM, None),
    ],
)
def test_a_days_budget_that_is_used_up_holds_its_lane_until_midnight(
    session: Session, columns: dict[str, int], used: tuple[int, int], lane: Lane, reason: Reason | None
) -> None:
    rules(**columns)
    tally(old(session), midnight(), *used)
    now = timezone.now()
    assert why(session, lane, now=now) == ((reason, local_day(BERLIN, now).ends_at) if reason else ("", None))


def test_a_new_numbers_new_chats_are_held_by_its_warm_up(session: Session) -> None:
    Session.objects.update(first_linked_at=ago(days=0))
    tally(session, midnight(), NEW, 10)
    now = timezone.now()
    assert why(session, Lane.NEW, now=now) == (Reason.WARM_UP, local_day(BERLIN, now).ends_at)
    assert why(session, Lane.COLD, now=now) == why(session, Lane.WARM, now=now) == ("", None)


def test_a_full_hour_holds_until_the_first_of_it_has_left(session: Session) -> None:
    rules(hourly_limit=5)
    now = timezone.now()
    ended = datetime.fromtimestamp(now.timestamp() // 900 * 900, UTC)
    tally(old(session), ended - QUARTER, WARM, 5)
    assert why(session, Lane.WARM, now=now) == (Reason.HOURLY_LIMIT, ended + HOUR)
    assert why(session, Lane.NEW, now=now) == ("", None)


def test_quiet_hours_hold_all_lanes_by_the_restaurants_clock(session: Session) -> None:
    rules(quiet_from=time(11, 30), quiet_until=time(14, 0), urgent_through_quiet=True)
    old(session)
    for lane in Lane:
        assert why(session, lane) == (Reason.QUIET_HOURS, NOON + 2 * HOUR)
        assert why(session, lane, now=NOON + 2 * HOUR) == ("", None)
        assert why(session, lane, Priority.URGENT) == ("", None)
    rules(urgent_through_quiet=False)
    assert why(session, Lane.WARM, Priority.URGENT) == (Reason.QUIET_HOURS, NOON + 2 * HOUR)
    rules(time_zone="America/New_York")  # 06:00 there
    assert why(session, Lane.WARM) == ("", None)


def test_quiet_hours_over_midnight(session: Session) -> None:
    rules(quiet_from=time(22), quiet_until=time(8))
    old(session)
    late = NOON + 11 * HOUR  # 23:00
    assert why(session, Lane.WARM, now=late) == (Reason.QUIET_HOURS, late + 9 * HOUR)
    assert why(session, Lane.WARM) == ("", None)


def test_send_windows_hold_until_the_next_one(session: Session) -> None:
    rules(send_windows={"mon": [["09:00", "11:00"], ["17:00", "22:00"]], "wed": [["10:00", "12:00"]]})
    old(session)
    assert why(session, Lane.WARM) == (Reason.SEND_WINDOW, NOON + 5 * HOUR)
    assert why(session, Lane.WARM, Priority.URGENT) == (Reason.SEND_WINDOW, NOON + 5 * HOUR)
    assert why(session, Lane.WARM, now=NOON + 6 * HOUR) == ("", None)
    assert why(session, Lane.WARM, now=NOON + 11 * HOUR) == (Reason.SEND_WINDOW, NOON + 46 * HOUR)  # Wednesday, 10:00


def test_hours_that_leave_no_time_at_all_count_as_none(session: Session) -> None:
    rules(send_windows={"mon": [["12:00", "13:00"]]}, quiet_from=time(11), quiet_until=time(14))
    assert why(old(session), Lane.WARM) == ("", None)
    rules(send_windows=None, quiet_from=time(11), quiet_until=time(11))
    assert why(session, Lane.WARM) == ("", None)


UNTIL = NOON + 3 * HOUR
LATER = UNTIL + BUFFER


@pytest.mark.parametrize(
    ("told", "warm", "cold"),
    [
        ([TimeLock(NOON, True, UNTIL)], None, (Reason.TIME_LOCK, LATER)),
        ([TimeLock(NOON, True, UNTIL), TimeLock(NOON + HOUR, False)], None, None),
        ([NewChatCap(NOON, CapStatus.CAPPED, 9, 9, UNTIL)], None, (Reason.NEW_CHAT_CAP, LATER)),
        ([NewChatCap(NOON, CapStatus.SECOND_WARNING, 8, 9, UNTIL)], None, (Reason.NEW_CHAT_WARNING, LATER)),
        ([NewChatCap(NOON, CapStatus.FIRST_WARNING, 7, 9, UNTIL)], None, None),
        ([Ban(NOON, UNTIL)], (Reason.BANNED, LATER), (Reason.BANNED, LATER)),
        ([Ban(NOON, UNTIL), Connected(NOON + HOUR)], None, None),
        ([Refused(NOON)], None, (Reason.ASKING, NOON + ASKING)),
        ([Refused(NOON - n * timedelta(minutes=9)) for n in range(3)], None, (Reason.REFUSED, NOON + REFUSALS_HOLD)),
        ([Refused(NOON), TimeLock(NOON + timedelta(seconds=5), False)], None, None),
        ([TimeLock(NOON, True, UNTIL), Ban(NOON, NOON + HOUR)], (Reason.BANNED, NOON + HOUR + BUFFER), (Reason.TIME_LOCK, LATER)),
    ],
    ids=[
        "time lock", "over", "capped", "second warning", "first warning", "ban", "ban over", "463", "three 463", "463, no lock",
        "lock and ban",
    ],
)  # fmt: skip
def test_whatsapps_signals_hold_the_lanes_they_are_about(
    session: Session, told: list[Event], warm: tuple[str, datetime] | None, cold: tuple[str, datetime] | None
) -> None:
    Session.objects.update(first_linked_at=NOON - 300 * DAY, declared_days=99, declared_on=NOON.date())
    standing.note(facts=[(session.pk, one) for one in told])
    now = NOON + timedelta(seconds=30)
    assert why(session, Lane.WARM, now=now) == (warm or ("", None))
    assert why(session, Lane.COLD, now=now) == why(session, Lane.NEW, now=now) == (cold or ("", None))
    assert why(session, Lane.NEW, now=LATER + 24 * HOUR) == ("", None)  # by itself


def test_a_second_warning_lets_what_is_urgent_go(session: Session) -> None:
    standing.note(facts=[(old(session).pk, NewChatCap(NOON, CapStatus.SECOND_WARNING, 8, 9, UNTIL))])
    reasons = [why(session, Lane.NEW, priority)[0] for priority in Priority]
    assert reasons == ["", "", Reason.NEW_CHAT_WARNING, Reason.NEW_CHAT_WARNING]


# --- The pace


def test_the_pause_after_the_last_message_goes_on(session: Session) -> None:
    old(session, last_sent_at=NOON, next_delay_ms=7_000)
    now = look(session, NOON + timedelta(seconds=1))
    assert now.when(Lane.WARM) == now.when(Lane.NEW) == Ready(NOON + timedelta(seconds=7))


def test_strangers_wait_for_their_own_pause_and_regulars_do_not(session: Session) -> None:
    cold = NOON - timedelta(seconds=20)
    old(session, last_sent_at=NOON, next_delay_ms=7_000, cold_sent_at=cold, cold_delay_ms=40_000)
    now = look(session, NOON + timedelta(seconds=1))
    assert now.when(Lane.WARM) == Ready(NOON + timedelta(seconds=7))
    assert now.when(Lane.COLD) == now.when(Lane.NEW) == Ready(cold + timedelta(seconds=40))


def test_after_a_stranger_both_pauses_count(session: Session) -> None:
    old(session, last_sent_at=NOON, next_delay_ms=7_000, cold_sent_at=NOON, cold_delay_ms=45_000)
    now = look(session, NOON + timedelta(seconds=1))
    warm, cold = now.when(Lane.WARM), now.when(Lane.COLD)
    assert cold == Ready(NOON + timedelta(seconds=45))
    assert isinstance(warm, Ready) and NOON + timedelta(seconds=2) <= warm.at <= NOON + timedelta(seconds=10)


def test_a_pace_that_was_changed_since_counts_at_once(session: Session) -> None:
    old(session, last_sent_at=NOON, next_delay_ms=7_000)
    rules(pace_min_delay_ms=1_000, pace_max_delay_ms=3_000)
    assert look(session, NOON).when(Lane.WARM) == Ready(NOON + timedelta(seconds=3))


def test_a_restaurant_that_protects_no_strangers_writes_to_all_at_one_pace(session: Session) -> None:
    rules(protect_strangers=False)
    old(session, last_sent_at=NOON, next_delay_ms=7_000, cold_sent_at=NOON - DAY, cold_delay_ms=7_000)
    now = look(session, NOON + timedelta(seconds=1))
    assert now.when(Lane.WARM) == now.when(Lane.NEW) == Ready(NOON + timedelta(seconds=7))


# --- What holds the whole session


def test_a_pause_that_is_longer_than_the_pace_holds_every_lane_and_says_so(session: Session) -> None:
    until = NOON + timedelta(minutes=10)
    Session.objects.filter(pk=old(session).pk).update(
        state="connected", last_sent_at=NOON - timedelta(seconds=3), next_delay_ms=5_000, next_send_at=until
    )
    assert {why(session, lane) for lane in Lane} == {(Reason.NUMBER_HELD, until)}
    Session.objects.update(next_send_at=NOON + timedelta(seconds=2))
    assert {why(session, lane) for lane in Lane} == {("", None)}, "its own pace"
    rules(quiet_from=time(12, 5), quiet_until=time(13, 0))
    Session.objects.update(next_send_at=until)
    assert why(session, Lane.WARM) == (Reason.QUIET_HOURS, datetime(2026, 5, 4, 11, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"state": "unlinked"}, Reason.NOT_LINKED),
        ({"state": "stopped"}, Reason.STOPPED),
        ({"state": "blocked", "state_reason": "banned_temporarily"}, Reason.BANNED),
        ({"state": "blocked", "state_reason": "quarantined"}, Reason.QUARANTINED),
        ({"state": "blocked", "state_reason": "account_banned"}, Reason.BLOCKED),
        ({"state": "disconnected"}, Reason.NO_WORKER),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_session_that_cannot_send_says_why_of_each_lane(session: Session, row: dict[str, str], reason: Reason) -> None:
    Session.objects.update(**row)
    for lane in Lane:
        held = look(session).next(lane)
        assert isinstance(held, Held) and held.reason == reason
