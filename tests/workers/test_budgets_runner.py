"""A worker's engine on a real database: limits, the warm-up and quiet hours, as the bridge sees them."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import TZPATH, reset_tzpath

import pytest
from django.utils import timezone

from sessions_app.models import SendTally, Session
from sessions_app.policy.budgets import Tally
from sessions_app.policy.lanes import LANES
from sessions_app.policy.local_time import wall
from sessions_app.policy.reasons import Reason
from sessions_app.services import outlook
from sessions_app.services.numbers import begin_anew
from tests.support.claiming import COLD, NEW, WARM, fresh
from tests.support.owning import old, queued, rules
from tests.support.stack import eventually
from tests.support.stub_bridge import StubBridge
from tests.workers.conftest import MakeRunner
from tests.workers.test_drain_runner import Script
from tests.workers.watching import online, until_state, until_status
from tests.workers.wire import OTHER, TZ, Wire, in_seconds, seen_for, until_sent, waiting

pytestmark = pytest.mark.usefixtures("often")


# --- Limits and the warm-up


def test_the_warm_up_ends_the_days_new_chats_and_another_worker_knows(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    rules(cold_min_delay_ms=0, cold_max_delay_ms=0)
    online(session, stub)
    Session.objects.update(first_linked_at=timezone.now())
    SendTally.objects.create(session=session, quarter=today_begins(), lane=NEW, sent=6)
    strangers = waiting(session, *(f"stranger {n}" for n in range(8)), lane=NEW)
    first = make_runner("w1@here")
    until_sent(strangers[:4])
    until_status(queued(session, "regular", lane=WARM, to_phone=OTHER), "sent")
    until_status(queued(session, "known", lane=COLD, to_phone=OTHER), "sent")  # opens no chat
    seen_for(0.5, lambda: len(wire.texts) == 6)
    assert first.stop(10)
    make_runner("w2@here")
    until_status(queued(session, "regular again", lane=WARM, to_phone=OTHER), "sent")
    seen_for(0.5, lambda: len(wire.texts) == 7)
    assert [fresh(one).status for one in strangers] == ["sent"] * 4 + ["queued"] * 4
    found = outlook.of_session(Session.objects.select_related("restaurant").get())
    assert found.today(LANES[NEW]).day.used == 10
    assert getattr(found.when(LANES[NEW]), "reason", "") == Reason.WARM_UP


def test_a_new_chat_counts_once_however_often_its_message_goes(
    session: Session, stub: StubBridge, make_runner: MakeRunner
) -> None:
    """For the day, by the owner's memory as by what another one would find."""
    stub.answer = Script({"outcome": "unknown", "reason": "ack_timeout"})
    rules(strangers_daily_limit=2, cold_min_delay_ms=0, cold_max_delay_ms=0)
    online(old(session), stub)
    first, second, third = waiting(session, "first", "second", "third", lane=NEW)
    make_runner()
    until_sent([first, second])
    assert fresh(first).attempts == 2
    seen_for(0.5, lambda: fresh(third).status == "queued")
    found = outlook.of_session(Session.objects.select_related("restaurant").get())
    today = found.today(LANES[NEW])
    assert (today.day.used, today.hour.used) == (2, 3)


def test_what_the_number_before_sent_today_is_not_counted_for_another_one(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    rules(strangers_daily_limit=2, hourly_limit=2, cold_min_delay_ms=0, cold_max_delay_ms=0)
    online(old(session), stub)
    strangers = waiting(session, *(f"stranger {n}" for n in range(5)), lane=NEW)
    make_runner()
    until_sent(strangers[:2])
    seen_for(0.5, lambda: len(wire.texts) == 2)
    begin_anew(sessions=[session.pk])
    until_sent(strangers[2:4])
    seen_for(0.5, lambda: len(wire.texts) == 4)


def today_begins() -> datetime:
    return timezone.now().astimezone(TZ).replace(hour=0, minute=0, second=0, microsecond=0)


def test_the_days_limit_holds_a_lane_until_it_is_raised(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    rules(daily_limit=2, cold_min_delay_ms=0, cold_max_delay_ms=0)
    online(old(session), stub)
    regulars = waiting(session, *(f"regular {n}" for n in range(4)), lane=WARM)
    make_runner()
    until_sent(regulars[:2])
    until_status(queued(session, "stranger", lane=NEW, to_phone=OTHER), "sent")
    seen_for(0.5, lambda: wire.texts == ["regular 0", "regular 1", "stranger"])
    rules(daily_limit=3)
    until_status(regulars[2], "sent")
    seen_for(0.5, lambda: len(wire.texts) == 4)
    rules(daily_limit=None)
    until_status(regulars[3], "sent")


def test_what_waits_for_the_next_day_does_not_go_a_moment_before_it(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner, tmp_path: Path
) -> None:
    """It would count for the day whose limit is reached."""
    midnight = in_seconds(4.5).replace(microsecond=0)
    with a_place_whose_day_ends_at(midnight, tmp_path) as name:
        rules(time_zone=name, daily_limit=1)
        online(old(session), stub)
        SendTally.objects.create(session=session, quarter=midnight - timedelta(hours=1), lane=WARM, sent=1)
        message = queued(session, lane=WARM)
        make_runner(typing_max_ms=1_500)
        until_status(message, "sent")
    assert message.sent_at and midnight <= message.sent_at < midnight + timedelta(seconds=1.5)


def test_a_corrected_time_zone_gives_no_second_budget_for_one_day(
    session: Session, stub: StubBridge, make_runner: MakeRunner, tmp_path: Path
) -> None:
    midnight, far = (in_seconds(seconds).replace(microsecond=0) for seconds in (6, 12 * 3_600))
    with a_place_whose_day_ends_at(midnight, tmp_path) as wrong, a_place_whose_day_ends_at(far, tmp_path) as right:
        rules(time_zone=wrong, daily_limit=1)
        online(old(session), stub)
        runner = make_runner()
        until_sent(waiting(session, "first", lane=WARM))
        rules(time_zone=right)
        eventually(lambda: _day_ends_at(runner, session) == far, what="the other day")
        second = queued(session, "second", lane=WARM)
        seen_for((midnight - timezone.now()).total_seconds() + 1.5, lambda: fresh(second).status == "queued")


@contextmanager
def a_place_whose_day_ends_at(midnight: datetime, places: Path) -> Iterator[str]:
    """A time zone of its own, in zoneinfo's binary form: one offset, for ever. No cache knows its name."""
    offset = -(midnight.hour * 3_600 + midnight.minute * 60 + midnight.second)
    header = struct.pack(">4sc15x6l", b"TZif", b"\0", 0, 0, 0, 0, 1, 4)
    place = places / f"Place{midnight:%H%M%S}"
    place.write_bytes(header + struct.pack(">lBB", offset, 0, 0) + b"NOW\0")
    reset_tzpath([str(places), *TZPATH])
    try:
        yield place.name
    finally:
        reset_tzpath()


def test_the_hours_limit_is_for_regulars_and_strangers_each(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    """Or strangers could hold regulars; the form says so."""
    rules(hourly_limit=2, cold_min_delay_ms=0, cold_max_delay_ms=0)
    online(old(session), stub)
    regulars = waiting(session, *(f"regular {n}" for n in range(4)), lane=WARM)
    strangers = waiting(session, *(f"stranger {n}" for n in range(4)), lane=NEW)
    make_runner()
    until_sent([*regulars[:2], *strangers[:2]])
    seen_for(0.5, lambda: sorted(wire.texts) == ["regular 0", "regular 1", "stranger 0", "stranger 1"])


def test_an_hourly_limit_counts_what_was_sent_before_it_was_set(
    session: Session, stub: StubBridge, make_runner: MakeRunner
) -> None:
    online(session, stub)
    runner = make_runner()
    until_sent(waiting(session, "one", "two", "three", lane=WARM))
    rules(hourly_limit=4)
    eventually(lambda: _in_the_hour(runner, session) == 3, what="the hour to be counted")
    fourth, fifth = waiting(session, "four", "five", lane=WARM)
    until_status(fourth, "sent")
    seen_for(1.0, lambda: fresh(fifth).status == "queued")
    rules(hourly_limit=5)
    until_status(fifth, "sent")


def test_an_operator_who_knows_the_number_ends_its_warm_up(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    rules(cold_min_delay_ms=0, cold_max_delay_ms=0)
    online(session, stub)
    Session.objects.update(first_linked_at=timezone.now())
    SendTally.objects.create(session=session, quarter=today_begins(), lane=NEW, sent=10)
    [stranger] = waiting(session, "stranger", lane=NEW)
    make_runner()
    until_state(session, "connected")
    seen_for(0.5, lambda: wire.texts == [])
    Session.objects.update(declared_days=5, declared_on=timezone.now().astimezone(TZ).date())
    until_status(stranger, "sent")


def _in_the_hour(runner: Any, session: Session) -> int:
    return len(_regulars(runner, session).hour)


def _day_ends_at(runner: Any, session: Session) -> datetime | None:
    day = _regulars(runner, session).day
    return day.ends_at if day else None


def _regulars(runner: Any, session: Session) -> Tally:
    owned = runner._engine.table.get(session.pk) if runner._engine else None
    return owned.pacer.ledger.warm if owned else Tally()


# --- Quiet hours


def test_quiet_hours_hold_everything_and_end_by_themselves(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    ends = (in_seconds(4.5)).replace(microsecond=0)
    begins = ends - timedelta(hours=2)
    rules(quiet_from=wall(begins, TZ).time(), quiet_until=wall(ends, TZ).time(), urgent_through_quiet=True)
    online(old(session), stub)
    regular, stranger = queued(session, "regular", lane=WARM), queued(session, "stranger", lane=NEW, to_phone=OTHER)
    make_runner(typing_max_ms=1_500)  # what is typed first is claimed before they end
    until_status(queued(session, "urgent", lane=WARM, priority=0), "sent")
    until_sent([regular, stranger])
    assert wire.texts[0] == "urgent"
    assert regular.sent_at and regular.sent_at >= ends
    assert regular.sent_at < ends + timedelta(seconds=1.5) and regular.delay_ms == 0


def test_quiet_hours_that_are_taken_back_hold_no_longer(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    now = wall(timezone.now(), TZ)
    rules(quiet_from=(now - timedelta(hours=1)).time(), quiet_until=(now + timedelta(hours=1)).time())
    online(old(session), stub)
    [regular] = waiting(session, "regular", lane=WARM)
    runner = make_runner()
    until_state(session, "connected")
    seen_for(0.5, lambda: wire.texts == [])
    rules(quiet_from=None)
    runner.wake([session.pk])
    until_status(regular, "sent")
