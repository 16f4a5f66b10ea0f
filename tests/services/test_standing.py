"""What WhatsApp has said of a number: folded in any order, kept as JSON, and told to the owner."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.models import Restaurant, Session
from sessions_app.policy.availability import Ready
from sessions_app.policy.lanes import Lane
from sessions_app.policy.reasons import Held, Reason
from sessions_app.policy.signals import Ban, CapStatus, Connected, Event, NewChatCap, Refused, TimeLock
from sessions_app.policy.standing import KEPT_SIGNAL_DAYS, Standing
from sessions_app.policy.standing import folded as fold
from sessions_app.policy.warmup import WarmUp, good_days
from sessions_app.services import inbound, outlook, session_state, sessions, standing
from sessions_app.services.session_state import Truth
from tests.policy.strategies import NOW, events, zones
from tests.services.test_inbound import event
from tests.services.test_wakeups import client, tasks
from tests.support.owning import ago, connected, register
from tests.support.threads import at_once

BERLIN = ZoneInfo("Europe/Berlin")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def folded(told: list[Event], zone: ZoneInfo = BERLIN) -> Standing:
    known = Standing()
    for one in told:
        known = fold(known, one, zone)
    return known


def known(session: Session) -> Standing:
    session.refresh_from_db()
    return standing.read(session.standing)


def told(session: Session, type_: str = "number.restricted", at: datetime | None = None, **data: Any) -> dict[str, int]:
    """What was counted when a bridge reported it."""
    counts = inbound.record(bridge="b", events=[event(session, type_, at or timezone.now(), **data)])
    return {name: count for name, count in counts.items() if count}


# --- Folding


@given(data=st.data(), told=st.lists(events, max_size=8), zone=zones)
def test_in_any_order_and_any_number_of_times_it_ends_the_same(data: st.DataObject, told: list[Event], zone: ZoneInfo) -> None:
    """But that what comes late may cost days of the warm-up that it would not have cost in time."""
    again = data.draw(st.lists(st.sampled_from(told), max_size=4)) if told else []
    late, timely = folded(data.draw(st.permutations(told + again)), zone), folded(sorted(told, key=_said), zone)
    assert (late.known, late.restarted_on) == (timely.known, timely.restarted_on)
    assert late.signal_days >= folded(sorted(_without_caps(told), key=_said), zone).signal_days


def _said(event: Event) -> datetime:
    return event.at


def _without_caps(told: list[Event]) -> list[Event]:
    """Whether a warning has begun or is told again goes by what was known."""
    return [event for event in told if not isinstance(event, NewChatCap)]


@given(told=st.lists(events, max_size=8), zone=zones)
def test_it_is_the_same_after_it_was_kept(told: list[Event], zone: ZoneInfo) -> None:
    known = folded(told, zone)
    text = json.dumps(standing.write(known))
    assert standing.read(json.loads(text)) == standing.parse(text) == known


def test_nothing_known_takes_no_room() -> None:
    assert standing.write(Standing()) == {}
    assert standing.read({}) == Standing()


def test_a_days_signal_is_of_the_restaurants_day() -> None:
    at = datetime(2026, 5, 4, 13, tzinfo=UTC)
    for zone, day in (("Pacific/Auckland", 5), ("Europe/Berlin", 4), ("Pacific/Honolulu", 4)):
        assert folded([Refused(at)], ZoneInfo(zone)).signal_days == {date(2026, 5, day)}
    midnight = datetime(2026, 5, 4, 22, tzinfo=UTC)
    assert folded([Refused(midnight), Refused(midnight - timedelta(seconds=1))]).signal_days == {
        date(2026, 5, 4),
        date(2026, 5, 5),
    }


def test_good_news_spoils_no_day() -> None:
    good: list[Event] = [TimeLock(NOW, False), NewChatCap(NOW, CapStatus.NONE), Connected(NOW)]
    assert folded(good).signal_days == frozenset()
    assert len(folded([*good, TimeLock(NOW - 3 * DAY, True), NewChatCap(NOW - DAY, CapStatus.FIRST_WARNING)]).signal_days) == 2


def test_every_day_of_a_time_lock_is_spoiled_as_far_as_its_end_is_known() -> None:
    locked = folded([TimeLock(NOW, True, NOW + 3 * DAY)])
    assert locked.signal_days == {NOW.date() + n * DAY for n in range(4)}


def test_a_time_lock_that_is_lifted_early_spoils_no_day_after_that() -> None:
    lock, lifted = TimeLock(NOW, True, NOW + 30 * DAY), TimeLock(NOW + HOUR, False)
    refused = Refused(NOW + 3 * DAY)
    orders: tuple[list[Event], ...] = ([lock, lifted], [lifted, lock], [lock, lifted, lock])
    for told in orders:
        known = folded(told)
        assert known.signal_days == {NOW.date()}
        assert good_days(WarmUp(NOW.date(), known.signal_days), NOW.date() + 2 * DAY) == 1
    assert folded([lock, lifted, refused]).signal_days == {NOW.date(), (NOW + 3 * DAY).date()}
    after_ten_days = folded([lock, TimeLock(NOW + 10 * DAY, False)])
    assert after_ten_days.signal_days == {NOW.date() + n * DAY for n in range(11)}


def test_a_warning_that_is_told_at_each_login_spoils_the_day_it_begins() -> None:
    first, second = CapStatus.FIRST_WARNING, CapStatus.SECOND_WARNING
    ends = NOW + 9 * DAY
    told: list[Event] = [NewChatCap(NOW + n * DAY, first, n, 99, ends) for n in range(3)]
    assert folded(told).signal_days == {NOW.date()}
    told.append(NewChatCap(NOW + 4 * DAY, second, 90, 99, ends))
    told.append(NewChatCap(NOW + 5 * DAY, second, 91, 99, ends))
    told.append(NewChatCap(NOW + 12 * DAY, second, 91, 99, ends + 30 * DAY))  # the next cycle
    assert folded(told).signal_days == {NOW.date() + n * DAY for n in (0, 4, 12)}


def test_days_under_a_ban_are_no_good_ones() -> None:
    """The warm-up begins anew when the ban ends, not when it was told."""
    banned = folded([Ban(NOW, NOW + 7 * DAY)])
    assert banned.restarted_on == (NOW + 7 * DAY).date()
    warm_up = WarmUp(NOW.date() - 90 * DAY, banned.signal_days, banned.restarted_on)
    assert [good_days(warm_up, NOW.date() + n * DAY) for n in (0, 3, 7, 8, 9)] == [0, 0, 0, 1, 2]


def test_old_days_are_forgotten_first() -> None:
    many = folded([Refused(NOW - n * DAY) for n in range(KEPT_SIGNAL_DAYS + 50)])
    assert len(many.signal_days) == KEPT_SIGNAL_DAYS
    assert max(many.signal_days) == NOW.date() and min(many.signal_days) == NOW.date() - (KEPT_SIGNAL_DAYS - 1) * DAY


# --- In the session's row


def test_it_says_of_which_sessions_something_has_changed(session: Session) -> None:
    other = sessions.create(restaurant=session.restaurant, name="second")
    lock, ban = TimeLock(NOW, True, NOW + HOUR), Ban(NOW, NOW + DAY)
    assert standing.note(facts=[(session.pk, lock), (other.pk, ban), (uuid4(), ban)]) == {session.pk, other.pk}
    assert (known(session).known.time_lock, known(other).known.ban) == (lock, ban)
    assert standing.note(facts=[(session.pk, lock), (other.pk, Connected(NOW + HOUR))]) == {other.pk}
    assert standing.note(facts=[(session.pk, TimeLock(NOW - HOUR, False)), (other.pk, ban)]) == set()
    assert known(session).known.time_lock == lock


def test_what_one_zone_calls_today_is_told_by_the_sessions_own_restaurant(session: Session) -> None:
    Restaurant.objects.update(time_zone="Pacific/Auckland")
    standing.note(facts=[(session.pk, Refused(datetime(2026, 5, 4, 13, tzinfo=UTC)))])
    assert known(session).signal_days == {date(2026, 5, 5)}


@pytest.mark.django_db(transaction=True)
def test_facts_told_at_one_moment_are_all_kept(session: Session) -> None:
    facts: list[Event] = [
        TimeLock(NOW, True, NOW + HOUR),
        NewChatCap(NOW, CapStatus.CAPPED, 9, 9, NOW + DAY),
        Ban(NOW),
        *(Refused(NOW - n * HOUR) for n in range(3)),
    ]
    answers = at_once(*[lambda one=one: standing.note(facts=[(session.pk, one)]) for one in facts])
    assert all(answer == {session.pk} for answer in answers)
    assert known(session) == folded(facts)


# --- As bridges report it


def test_a_time_lock_holds_strangers_until_it_is_said_to_be_over(session: Session) -> None:
    until = timezone.now() + HOUR
    told(session, active=True, until=until.isoformat(), kind="DEFAULT")
    lock = known(session).known.time_lock
    assert lock and (lock.active, lock.until, lock.kind) == (True, until, "DEFAULT")
    now = outlook.of_session(session)
    held = now.when(Lane.NEW)
    assert isinstance(held, Held) and held.reason is Reason.TIME_LOCK and held.until >= until
    assert isinstance(now.when(Lane.WARM), Ready)
    told(session, active=False)
    session.refresh_from_db()
    assert isinstance(outlook.of_session(session).when(Lane.NEW), Ready)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("none", CapStatus.NONE),
        ("first_warning", CapStatus.FIRST_WARNING),
        ("SECOND_WARNING", CapStatus.SECOND_WARNING),
        ("capped", CapStatus.CAPPED),
        ("third_warning", CapStatus.FIRST_WARNING),  # of a later version
    ],
)
def test_the_cap_is_taken_by_whatsapps_word(session: Session, word: str, status: CapStatus) -> None:
    ends = timezone.now() + 9 * DAY
    told(session, "number.chat_cap", status=word, used=7, total=10, cycle_ends_at=ends.isoformat())
    cap = known(session).known.cap
    assert cap and (cap.status, cap.used, cap.total, cap.cycle_ends_at) == (status, 7, 10, ends)


def test_what_comes_late_does_not_undo_what_came_after(session: Session) -> None:
    now = timezone.now()
    told(session, active=False, at=now)
    told(session, active=True, at=now - HOUR, until=(now + HOUR).isoformat())
    lock = known(session).known.time_lock
    assert lock and not lock.active
    assert (now - HOUR).astimezone(BERLIN).date() in known(session).signal_days  # it was locked all the same


def test_a_bridges_fast_clock_holds_nothing_for_longer(session: Session) -> None:
    told(session, active=True, at=timezone.now() + 30 * DAY)
    lock = known(session).known.time_lock
    assert lock and lock.at <= timezone.now()
    told(session, active=False)
    session.refresh_from_db()
    assert isinstance(outlook.of_session(session).when(Lane.NEW), Ready)


ODD: list[Any] = [
    None,
    7,
    -1,
    2**40,
    True,
    1e300,
    "",
    "soon",
    "9" * 400,
    [],
    {},
    "2026-05-04T13:00:00",
    "0001-01-01T00:00:00+14:00",
]
FIELDS = {"number.restricted": ("active", "until", "kind"), "number.chat_cap": ("status", "used", "total", "cycle_ends_at")}


@pytest.mark.parametrize("odd", [*ODD, "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z"], ids=lambda odd: str(odd)[:20])
@pytest.mark.parametrize("type_", FIELDS)
def test_what_makes_no_sense_does_no_harm(session: Session, type_: str, odd: Any) -> None:
    Restaurant.objects.update(time_zone="America/New_York")
    for field in FIELDS[type_]:
        sound = {"active": True, "status": "capped", field: odd}
        assert told(session, type_, **sound) == {"applied": 1}
    assert told(session, type_, **dict.fromkeys(FIELDS[type_], odd)) == {"applied": 1}
    assert told(session, type_) == {"applied": 1}
    session.refresh_from_db()
    assert json.loads(json.dumps(session.standing)) == standing.write(known(session))
    now = outlook.of_session(session)
    for lane in Lane:
        answer = now.when(lane)
        assert isinstance(answer, Ready) or answer.until < timezone.now() + 40 * DAY


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("type_", FIELDS)
def test_a_time_that_no_clock_shows_costs_nobody_anything(session: Session, type_: str, at: str) -> None:
    Restaurant.objects.update(time_zone="America/New_York")
    bad = {**event(session, type_, active=True, status="capped"), "at": at}
    good = event(session, "number.restricted", ago(hours=1), active=True)
    counts = inbound.record(bridge="b", events=[bad, good])
    assert (counts["invalid"], counts["applied"]) == (1, 1)
    assert known(session).known.time_lock is not None and known(session).known.cap is None


# --- Its owner


@pytest.mark.django_db(transaction=True)
def test_the_owner_is_woken_when_something_has_changed(session: Session) -> None:
    me = register(f"{uuid4()}@here", ttl_s=60)
    connected(session, me)
    queue = session_queue(session)
    at, until = timezone.now(), (timezone.now() + HOUR).isoformat()
    try:
        told(session, active=True, at=at, until=until)
        told(session, "number.chat_cap", status="capped")  # within the moment in which other wake-ups are saved
        woken = [("workers.wake", [[str(session.pk)]])]
        assert tasks(queue) == 2 * woken
        told(session, active=True, at=at, until=until)  # told before
        told(session, active=False, at=at - HOUR)  # overtaken
        assert tasks(queue) == 2 * woken
    finally:
        client().delete(queue)


def session_queue(session: Session) -> str:
    session.refresh_from_db()
    assert session.owner
    return session.owner.queue


@pytest.mark.parametrize("owned", [True, False])
def test_what_an_owner_was_told_counts_while_it_owns(session: Session, owned: bool) -> None:
    me = register()
    mine = connected(session, me)
    now = timezone.now()
    facts: list[Event] = [Refused(now), Ban(now, now + DAY)]
    truth = Truth(session.pk, mine.term - (not owned), "blocked", facts=facts)
    assert session_state.write_truths(worker=me.worker, truths=[truth]).written == ({session.pk} if owned else set())
    assert known(session) == (folded(facts) if owned else Standing())


# --- The warm-up


def limit(session: Session) -> int | None:
    session.refresh_from_db()
    return outlook.of_session(session).today(Lane.NEW).day.limit


def test_a_ban_starts_the_warm_up_anew(session: Session) -> None:
    Session.objects.update(first_linked_at=ago(days=20))
    assert limit(session) == 80
    standing.note(facts=[(session.pk, Ban(ago(days=2), ago(days=1)))])
    assert known(session).restarted_on == ago(days=1).astimezone(BERLIN).date()
    assert limit(session) == 15
    standing.note(facts=[(session.pk, Ban(ago(days=9)))])  # heard of late
    assert limit(session) == 15
    standing.note(facts=[(session.pk, Ban(timezone.now()))])
    assert limit(session) == 10


def test_a_ban_holds_everything_until_the_number_logs_in(session: Session) -> None:
    until = timezone.now() + HOUR
    standing.note(facts=[(session.pk, Ban(timezone.now(), until))])
    session.refresh_from_db()
    held = outlook.of_session(session).when(Lane.WARM)
    assert isinstance(held, Held) and held.reason is Reason.BANNED and held.until >= until
    standing.note(facts=[(session.pk, Connected(timezone.now()))])
    session.refresh_from_db()
    assert isinstance(outlook.of_session(session).when(Lane.WARM), Ready)


NOON = ago(days=1).astimezone(BERLIN).replace(hour=12)  # of the restaurant's yesterday


@pytest.mark.parametrize("signal", [Refused(NOON), TimeLock(NOON, True, NOON + 4 * HOUR)], ids=["463", "lock"])
def test_another_signal_costs_its_day(session: Session, signal: Event) -> None:
    Session.objects.update(first_linked_at=ago(days=3))
    before = limit(session)
    standing.note(facts=[(session.pk, signal)])
    assert (before, limit(session)) == (40, 25)
