"""A worker's engine on a real database: lanes, holds, budgets and the pause, as the bridge sees them."""

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from sessions_app.models import Contact, Message, Restaurant, SendTally, Session
from sessions_app.policy.local_time import wall
from sessions_app.policy.pacing import Pace
from sessions_app.policy.reasons import Reason
from sessions_app.policy.signals import TimeLock
from sessions_app.services import inbound, outlook, standing
from tests.services.test_inbound import event, received
from tests.support.claiming import contact, fresh, numbers
from tests.support.owning import ago, linked, queued
from tests.support.stack import eventually
from tests.support.stub_bridge import Json, StubBridge, StubBridgeThread, acked
from tests.workers.conftest import MakeRunner
from tests.workers.watching import online, until_state, until_status

WARM, COLD, NEW = Message.Lane.WARM, Message.Lane.COLD, Message.Lane.NEW
EAGER = Pace(0, 0)
OTHER = "+4915187654321"
TZ = ZoneInfo("Europe/Berlin")


class Wire:
    """Answers as WhatsApp does once the customer has seen so much typing, and keeps what went when: (seconds, text, typing)."""

    def __init__(self, stub: StubBridge) -> None:
        self.sent: list[tuple[float, str, int]] = []
        self.refuses: set[str] = set()  # numbers that are answered 463
        self.throttles = False
        stub.answer = self

    async def __call__(self, who: str, send: Json) -> Json:
        if self.throttles:
            return {"outcome": "not_sent", "reason": "lookup_throttled"}
        await asyncio.sleep(send["typing_ms"] / 1_000)
        self.sent.append((time.monotonic(), send["content"]["text"], send["typing_ms"]))
        if send["to"]["phone"] in self.refuses:
            return {"outcome": "rejected", "code": "463", "address": "a@lid"}
        return await acked(who, send)

    @property
    def texts(self) -> list[str]:
        return [text for _, text, _ in self.sent]

    def gaps_ms(self, some: str = "") -> list[float]:
        """Between those whose text begins so."""
        times = [at for at, text, _ in self.sent if text.startswith(some)]
        return [(after - before) * 1_000 for before, after in pairwise(times)]


def usual(times: list[float]) -> float:
    """The median: a loaded machine may be late once."""
    return sorted(times)[len(times) // 2]


@pytest.fixture
def wire(stub: StubBridge) -> Wire:
    return Wire(stub)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are found by the full look, which comes every ten seconds elsewhere."""
    monkeypatch.setattr("workers.looks.LOOKS_FOR_ALL", 1)


def rules(**columns: Any) -> None:
    Restaurant.objects.update(**columns)


def old(session: Session) -> Session:
    Session.objects.filter(pk=session.pk).update(first_linked_at=ago(days=300))
    return session


def waiting(session: Session, *bodies: str, **more: Any) -> list[Message]:
    """Each to a customer of its own."""
    return [queued(session, body, **{"to_phone": to, **more}) for body, to in zip(bodies, numbers(len(bodies)), strict=True)]


def until_sent(messages: Iterable[Message]) -> None:
    for message in messages:
        until_status(message, "sent")


def seen_for(seconds: float, what: Callable[[], bool]) -> None:
    """It is so, and stays so, while time passes: what must not happen cannot be awaited."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert what()
        time.sleep(0.05)


def in_seconds(seconds: float) -> datetime:
    return timezone.now() + timedelta(seconds=seconds)


# --- The pause


def test_the_pause_is_the_one_drawn_and_typing_lies_inside_it(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    online(session, stub)
    sent = waiting(session, "short", *["long enough " * n for n in (7, 8, 9, 10, 11)], lane=WARM)
    # A heartbeat sets the worker's clock by the database's, by a few milliseconds forth and back.
    make_runner(pace=Pace(300, 600), typing_ms_per_character=3, typing_max_ms=250, heartbeat_s=5)
    until_sent(sent)
    delays = [message.delay_ms or 0 for message in sent]
    assert delays[0] == 0 and all(300 <= delay <= 600 for delay in delays[1:])
    assert [typing for _, _, typing in wire.sent] == [min(250, 3 * len(message.body)) for message in sent]
    over = [gap - delay for gap, delay in zip(wire.gaps_ms(), delays[1:], strict=True)]
    assert min(over) >= -2 and usual(over) < 200  # the machine's own time; 250 ms of typing more would be seen


def test_who_comes_after_the_pause_has_not_waited_for_it(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    online(session, stub)
    runner = make_runner(pace=Pace(300, 300))
    [first] = waiting(session, "first", lane=WARM)
    until_status(first, "sent")
    eventually(lambda: timezone.now() > first.status_at + timedelta(seconds=0.5), what="the end of the pause")
    late = queued(session, "late", lane=WARM)
    runner.wake([session.pk])
    until_status(late, "sent")
    assert (first.delay_ms, late.delay_ms) == (0, 0)


# --- The lanes


def test_strangers_go_at_their_own_pace_and_regulars_do_not_wait_for_them(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    rules(cold_min_delay_ms=900, cold_max_delay_ms=1_000)
    online(old(session), stub)
    strangers = waiting(session, *(f"stranger {n}" for n in range(3)), lane=NEW)
    regulars = waiting(session, *(f"regular {n}" for n in range(12)), lane=WARM)
    make_runner(pace=Pace(100, 150))
    until_sent([*strangers, *regulars])
    assert min(wire.gaps_ms("stranger")) >= 890 and usual(wire.gaps_ms("stranger")) < 1_500
    assert min(wire.gaps_ms()) >= 90 and usual(wire.gaps_ms("regular")) < 450
    assert [900 <= (fresh(one).delay_ms or 0) <= 1_000 for one in strangers] == [False, True, True]
    assert all((fresh(one).delay_ms or 0) <= 150 for one in regulars)


def test_after_a_warning_strangers_wait_twice_as_long(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    rules(cold_min_delay_ms=400, cold_max_delay_ms=400)
    online(old(session), stub)
    warning = {"status": "first_warning", "cycle_ends_at": in_seconds(86_400).isoformat()}
    inbound.record(bridge="b", events=[event(session, "number.chat_cap", timezone.now(), **warning)])
    strangers = waiting(session, *(f"stranger {n}" for n in range(3)), lane=NEW)
    make_runner()
    until_sent(strangers)
    assert [message.delay_ms for message in strangers] == [0, 800, 800]
    assert min(wire.gaps_ms()) >= 790


def test_a_regular_is_found_while_a_stranger_waits_for_its_pause(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    """Nobody tells the worker of it: the wake-up was lost."""
    rules(cold_min_delay_ms=60_000, cold_max_delay_ms=60_000)
    online(old(session), stub)
    first, second = waiting(session, "stranger 0", "stranger 1", lane=NEW)
    make_runner()
    until_status(first, "sent")
    seen_for(0.5, lambda: fresh(second).status == "queued")  # by now its slot in a minute is known
    until_status(queued(session, "regular", lane=WARM), "sent")
    assert wire.texts == ["stranger 0", "regular"]


def test_a_stranger_who_writes_is_answered_at_the_pace_of_regulars(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    rules(cold_min_delay_ms=60_000, cold_max_delay_ms=60_000)
    online(old(session), stub)
    first, second = waiting(session, "stranger 0", "stranger 1", lane=NEW)
    make_runner()
    until_status(first, "sent")
    inbound.record(bridge="b", events=[received(session, phone=second.to_phone)])
    until_status(second, "sent")
    assert second.lane == WARM


def test_what_has_waited_for_ten_minutes_gets_every_fourth_slot(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    online(session, stub)
    aged = waiting(session, "old 1", "old 2", lane=WARM, priority=3, not_before=ago(minutes=11))
    young = waiting(session, *(f"young {n}" for n in range(10)), lane=WARM)
    low = waiting(session, "low", lane=WARM, priority=3)
    make_runner()
    until_sent([*aged, *young, *low])
    places = {text: place for place, text in enumerate(wire.texts)}
    assert places["old 1"] <= 4 and places["old 2"] - places["old 1"] == 4
    assert wire.texts[-1] == "low"


def test_what_does_not_go_costs_no_slot(session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner) -> None:
    """At the head of the queue: an opted-out customer, a number that is not on WhatsApp, a parked one, one who had one just now.
    None of them costs the pause, which would be a minute."""
    rules(cold_min_delay_ms=0, cold_max_delay_ms=0, recipient_gap_s=60, pace_min_delay_ms=60_000, pace_max_delay_ms=60_000)
    online(old(session), stub)
    out, nobody, parked, just_now, _ = numbers(5)
    contact(session, out, opted_out_at=ago(days=1))
    contact(session, nobody, on_whatsapp=False, checked_at=ago(hours=1))
    contact(session, parked, refusals=1, parked_until=in_seconds(3_600))
    contact(session, just_now, last_outbound_at=timezone.now())
    suppressed, failed, held, too_soon, fine = waiting(session, "out", "nobody", "parked", "just now", "fine", lane=COLD)
    make_runner()
    until_status(fine, "sent")
    assert [fresh(one).status for one in (suppressed, failed, held, too_soon)] == ["suppressed", "failed", "queued", "queued"]
    assert (held.hold_reason, too_soon.hold_reason) == (Reason.CONTACT_PARKED, Reason.RECIPIENT_GAP)
    assert wire.texts == ["fine"]


def test_a_customer_is_not_written_to_twice_within_the_gap(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    rules(recipient_gap_s=1)
    online(session, stub)
    sent = waiting(session, "one 0", "one 1", "one 2", lane=WARM, to_phone=OTHER)
    others = waiting(session, "other 0", "other 1", lane=WARM)
    make_runner()
    until_sent([*sent, *others])
    assert all(gap >= 990 for gap in wire.gaps_ms("one")) and wire.texts[:3] == ["one 0", "other 0", "other 1"]


# --- WhatsApp's signals


def lock(session: Session, active: bool, **data: Any) -> None:
    """As a bridge reports it; the wake-up that follows is told to the worker by its caller here."""
    counts = inbound.record(bridge="b", events=[event(session, "number.restricted", timezone.now(), active=active, **data)])
    assert counts["applied"] == 1


def test_a_time_lock_holds_strangers_alone_and_its_end_frees_them(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    rules(cold_min_delay_ms=0, cold_max_delay_ms=0)
    online(old(session), stub)
    lock(session, True, until=in_seconds(86_400).isoformat())
    strangers = waiting(session, "stranger 0", "stranger 1", lane=NEW, priority=0)
    runner = make_runner()
    until_status(queued(session, "regular 0", lane=WARM, priority=3), "sent")
    until_status(queued(session, "regular 1", lane=WARM, priority=3), "sent")
    seen_for(0.5, lambda: wire.texts == ["regular 0", "regular 1"])
    assert [(fresh(one).status, one.attempts) for one in strangers] == [("queued", 0)] * 2
    lock(session, False)
    told = time.monotonic()
    runner.wake([session.pk])
    until_sent(strangers)
    assert time.monotonic() - told < 2


def test_a_lock_that_was_stored_first_holds_what_the_same_wake_up_tells_of(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    online(old(session), stub)
    runner = make_runner(pace=EAGER, look_every_s=3_600)
    until_state(session, "connected")
    standing.note(facts=[(session.pk, TimeLock(timezone.now(), True, in_seconds(3_600)))])
    stranger, regular = queued(session, "stranger", lane=NEW, to_phone=OTHER), queued(session, "regular", lane=WARM)
    runner.wake([session.pk])
    until_status(regular, "sent")
    assert (wire.texts, fresh(stranger).attempts) == (["regular"], 0)


def test_a_lock_that_comes_while_the_worker_runs_stops_it(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    rules(cold_min_delay_ms=0, cold_max_delay_ms=0)
    online(old(session), stub)
    runner = make_runner()
    until_sent(waiting(session, "stranger 0", lane=NEW))
    lock(session, True, until=in_seconds(86_400).isoformat())
    runner.wake([session.pk])
    regular = queued(session, "regular", lane=WARM)
    until_status(regular, "sent")
    eventually(lambda: runner._engine is not None and _holds(runner._engine, session), what="the lock to be known")
    later = queued(session, "stranger 1", lane=NEW)
    seen_for(0.5, lambda: fresh(later).status == "queued")
    until_status(queued(session, "regular again", lane=WARM), "sent")


def test_whatsapp_is_asked_once_when_a_lock_is_said_to_end_and_what_it_says_counts(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.engine.INQUIRE_S", 0.1)
    monkeypatch.setattr("sessions_app.policy.restrictions.DEBOUNCE", timedelta())
    rules(cold_min_delay_ms=0, cold_max_delay_ms=0)
    online(old(session), stub)
    ends = in_seconds(3)
    lock(session, True, until=ends.isoformat())
    [stranger] = waiting(session, "stranger", lane=NEW)
    runner = make_runner()
    until_state(session, "connected")
    eventually(lambda: asked(stub), what="the question")
    assert timezone.now() >= ends and asked(stub) == [(str(session.pk), {"term": 1})], "not at the login"
    lock(session, True, until=in_seconds(86_400).isoformat())
    runner.wake([session.pk])
    seen_for(1.0, lambda: len(asked(stub)) == 1 and wire.texts == [])
    lock(session, False)
    runner.wake([session.pk])
    until_status(stranger, "sent")


def asked(stub: StubBridge) -> list[tuple[str, Json]]:
    return [(who, what) for verb, who, what in stub.calls if verb == "ASK"]


def _in_the_hour(runner: Any, session: Session) -> int:
    owned = runner._engine.table.get(session.pk) if runner._engine else None
    return len(owned.pacer.ledger.warm.hour) if owned else 0


def _holds(engine: Any, session: Session) -> bool:
    owned = engine.table.get(session.pk)
    return owned is not None and owned.pacer.number.known.time_lock is not None


def test_a_463_holds_strangers_until_whatsapp_was_asked(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    rules(cold_min_delay_ms=300, cold_max_delay_ms=300)
    online(old(session), stub)
    refused, *others = waiting(session, "refused", "stranger 1", "stranger 2", lane=NEW)
    again = queued(session, "again", lane=NEW, to_phone=refused.to_phone, priority=3)
    wire.refuses = {refused.to_phone}
    runner = make_runner()
    assert until_status(refused, "failed").error_code == "wa_463"
    eventually(lambda: len(known(session).refused) == 1, what="the refusal to be noted")
    until_status(queued(session, "regular", lane=WARM, to_phone=OTHER), "sent")
    seen_for(1.0, lambda: wire.texts == ["refused", "regular"])
    parked = Contact.objects.get(phone=refused.to_phone)
    assert parked.refusals == 1 and parked.parked_until and parked.parked_until > in_seconds(23 * 3_600)
    assert timezone.now().astimezone(TZ).date() in standing.read(session.standing).signal_days
    lock(session, False)  # the answer: it was this contact alone
    runner.wake([session.pk])
    until_sent(others)
    eventually(lambda: fresh(again).hold_reason == "contact_parked", what="the customer to be left alone")
    assert again.hold_until == parked.parked_until and again.attempts == 0


def known(session: Session) -> Any:
    session.refresh_from_db()
    return standing.read(session.standing).known


def test_three_refusals_within_an_hour_hold_strangers_for_hours(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    rules(cold_min_delay_ms=400, cold_max_delay_ms=400)
    online(old(session), stub)
    messages = waiting(session, *(f"stranger {n}" for n in range(5)), lane=NEW)
    wire.refuses = {message.to_phone for message in messages}
    runner = make_runner()
    for n in range(3):
        eventually(lambda n=n: len(known(session).refused) > n, what="a refusal")  # type: ignore[misc]
        lock(session, False)
        runner.wake([session.pk])
    seen_for(1.2, lambda: len(wire.texts) == 3)
    found = outlook.of_session(Session.objects.select_related("restaurant").get())
    held = found.when(outlook.LANES[NEW])
    assert getattr(held, "reason", "") == Reason.REFUSED


def test_a_ban_is_noted_and_ends_with_the_next_login(
    session: Session,
    stub: StubBridge,
    bridge: StubBridgeThread,
    wire: Wire,
    make_runner: MakeRunner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workers.engine.INQUIRE_S", 0.1)
    online(old(session), stub)
    make_runner()
    until_state(session, "connected")
    until = in_seconds(1)
    bridge.do(lambda: stub.close(str(session.pk), "banned_temporarily", {"until": until.isoformat()}))
    until_state(session, "blocked")
    eventually(lambda: known(session).ban is not None, what="the ban to be noted")
    assert known(session).ban.until == until
    assert standing.read(session.standing).restarted_on == wall(timezone.now(), TZ).date()
    message = queued(session, "regular", lane=WARM)
    Session.objects.update(retry_at=ago(seconds=1), restart_wish=1)
    until_state(session, "connected")
    until_status(message, "sent")
    assert known(session).connected_at > known(session).ban.at
    at = known(session).connected_at
    bridge.do(lambda: stub.tell(str(session.pk), "connected", name="Mario"))  # no login
    seen_for(0.5, lambda: known(session).connected_at == at and asked(stub) == [])  # the bridge asks at each login by itself


def test_the_bridges_limit_of_lookups_holds_strangers_alone_and_for_a_moment(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    rules(cold_min_delay_ms=0, cold_max_delay_ms=0)
    online(old(session), stub)
    first, second = waiting(session, "stranger 0", "stranger 1", lane=NEW)
    wire.throttles = True
    make_runner()
    eventually(lambda: fresh(first).hold_reason == "lookup_throttled", what="the hold")
    assert first.hold_until and ago(seconds=-3) < first.hold_until < ago(seconds=-11)
    wire.throttles = False
    until_status(queued(session, "regular", lane=WARM, to_phone=OTHER), "sent")
    assert [fresh(one).status for one in (first, second)] == ["queued"] * 2
    assert (first.attempts, second.attempts) == (1, 0), "the other stranger is not even tried"
    eventually(lambda: fresh(second).status == "sent", what="both", timeout=20)
    assert second.sent_at and second.sent_at >= first.hold_until and wire.texts[:2] == ["regular", "stranger 0"]


# --- Budgets


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
    assert found.today(outlook.LANES[NEW]).day.used == 10
    assert getattr(found.when(outlook.LANES[NEW]), "reason", "") == Reason.WARM_UP


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


# --- Quiet hours


def test_quiet_hours_hold_everything_and_end_by_themselves(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    ends = (in_seconds(3.5)).replace(microsecond=0)
    begins = ends - timedelta(hours=2)
    rules(quiet_from=wall(begins, TZ).time(), quiet_until=wall(ends, TZ).time(), urgent_through_quiet=True)
    online(old(session), stub)
    regular, stranger = queued(session, "regular", lane=WARM), queued(session, "stranger", lane=NEW, to_phone=OTHER)
    make_runner()
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


# --- Fairness


def test_a_session_whose_strangers_are_held_delays_nobody_and_wastes_nothing(
    restaurant: Restaurant, session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner
) -> None:
    """A hundred opted-out strangers at the head of one session: each is looked at once, beside the others' messages."""
    online(old(session), stub)
    out = numbers(100)
    Contact.objects.bulk_create(Contact(restaurant=restaurant, session=session, phone=to, opted_out_at=ago(days=1)) for to in out)
    gone = waiting(session, *("out" for _ in out), lane=WARM)
    last = queued(session, "last", lane=WARM, to_phone=OTHER)
    others = [linked(Session.objects.create(restaurant=restaurant, name=f"o{n}", state="disconnected")) for n in range(5)]
    for one in others:
        stub.linked.add(str(one.pk))
        for n in range(4):
            queued(one, f"other {n}", lane=WARM, to_phone=numbers(9)[n])
    make_runner(pace=Pace(50, 50))
    until_status(last, "sent")
    eventually(lambda: not Message.objects.filter(status="queued").exists(), what="everything to be done with")
    assert wire.texts.count("last") == 1 and len(wire.texts) == 21
    assert {fresh(one).status for one in gone} == {"suppressed"}
