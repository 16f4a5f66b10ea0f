"""A worker's engine on a real database: what WhatsApp says of a number holds its strangers and lets go, as the bridge sees it."""

import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sessions_app.models import Contact, Session
from sessions_app.policy.lanes import LANES
from sessions_app.policy.local_time import wall
from sessions_app.policy.reasons import Reason
from sessions_app.policy.signals import TimeLock
from sessions_app.services import inbound, outlook, standing
from tests.services.test_inbound import event
from tests.support.claiming import NEW, WARM, fresh
from tests.support.owning import ago, old, queued, rules
from tests.support.stack import eventually
from tests.support.stub_bridge import Json, StubBridge, StubBridgeThread
from tests.workers.conftest import MakeRunner
from tests.workers.watching import online, until_state, until_status
from tests.workers.wire import EAGER, OTHER, TZ, Wire, in_seconds, seen_for, until_sent, waiting

pytestmark = pytest.mark.usefixtures("often")


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
    held = found.when(LANES[NEW])
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
    wire.not_sent = "lookup_throttled"
    make_runner()
    eventually(lambda: fresh(first).hold_reason == "lookup_throttled", what="the hold")
    assert first.hold_until and ago(seconds=-3) < first.hold_until < ago(seconds=-11)
    wire.not_sent = ""
    until_status(queued(session, "regular", lane=WARM, to_phone=OTHER), "sent")
    assert [fresh(one).status for one in (first, second)] == ["queued"] * 2
    assert (first.attempts, second.attempts) == (1, 0), "the other stranger is not even tried"
    eventually(lambda: fresh(second).status == "sent", what="both", timeout=20)
    assert second.sent_at and second.sent_at >= first.hold_until and wire.texts[:2] == ["regular", "stranger 0"]


@pytest.mark.parametrize(("reason", "least"), [("rate_limited", 300), ("lookup_failed", 0.5)])
def test_what_whatsapp_says_of_lookups_holds_strangers_alone(
    session: Session, stub: StubBridge, wire: Wire, make_runner: MakeRunner, reason: str, least: float
) -> None:
    rules(cold_min_delay_ms=0, cold_max_delay_ms=0)
    online(old(session), stub)
    first, second = waiting(session, "stranger 0", "stranger 1", lane=NEW)
    wire.not_sent = reason
    make_runner()
    eventually(lambda: fresh(first).hold_reason == reason, what="the hold")
    assert first.hold_until and (first.hold_until - first.status_at).total_seconds() >= least and not first.held
    for text in ("regular", "another regular"):
        until_status(queued(session, text, lane=WARM, to_phone=OTHER), "sent")
    assert (fresh(first).status, fresh(second).status, second.attempts) == ("queued", "queued", 0), "nothing overtakes the first"
