"""A worker's engine on a real database: what it owns, how it shares and hands over, and how it ends."""

import asyncio
import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from sessions_app.models import Message, Restaurant, Session, Worker
from sessions_app.policy.sharing import MOVING_AT_ONCE
from sessions_app.services import claims, ownership, sending, session_state, sessions
from tests.support.owning import ago, linked, linked_sessions, queued, register, timeline
from tests.support.proxy import Proxy
from tests.support.stack import eventually
from tests.support.stub_bridge import Json, StubBridge, StubBridgeThread, acked
from tests.workers.conftest import MakeRunner
from tests.workers.watching import fresh, online, tell, two_bridges, until_state, until_status
from workers.bridge_process import BridgeStatus
from workers.clocks import steady
from workers.signals import Signals

# --- Ownership


def test_two_workers_share_and_the_one_that_stays_takes_all(
    restaurant: Restaurant, stub: StubBridge, make_runner: MakeRunner
) -> None:
    many = linked_sessions(restaurant, 10)
    stub.linked.update(str(session.pk) for session in many)
    _, host = two_bridges(stub)

    def shares() -> dict[str, int]:
        return dict(Counter(Session.objects.filter(owner__isnull=False, state="connected").values_list("owner__name", flat=True)))

    try:
        first = make_runner("w1@here")
        eventually(lambda: shares() == {"w1@here": 10}, what="one worker with all")
        second = make_runner("w2@here", host=host)
        eventually(lambda: shares() == {"w1@here": 5, "w2@here": 5}, what="fair shares")
        assert first.stop(10)
        eventually(lambda: shares() == {"w2@here": 10}, what="the other with all")
        assert second.stop(10)
        assert shares() == {}
    finally:
        host.stop()


def test_a_worker_that_stops_hands_over_a_few_at_a_time_while_the_rest_goes_on_sending(
    restaurant: Restaurant, stub: StubBridge, make_runner: MakeRunner
) -> None:
    many = linked_sessions(restaurant, 40)
    stub.linked.update(str(session.pk) for session in many)
    slow, host = two_bridges(stub)
    slow.connects = False  # whoever moves there is on the move until the test says otherwise
    try:
        first = make_runner("w1@here")
        eventually(lambda: Session.objects.filter(state="connected").count() == 40, what="all connections")
        make_runner("w2@here", host=host)
        moved = Session.objects.filter(owner__name="w2@here")
        eventually(lambda: moved.count() == MOVING_AT_ONCE, what="the first to move")
        stopping = threading.Thread(target=first.stop, args=[10])
        stopping.start()
        eventually(lambda: Worker.objects.filter(name="w1@here", draining=True).exists(), what="the end to begin")
        staying = list(Session.objects.filter(owner__name="w1@here"))
        for session in staying:
            queued(session)
        eventually(lambda: Message.objects.filter(status="sent").count() == len(staying), what="those that stay to send")
        assert moved.count() == MOVING_AT_ONCE
        stopping.join(10)
        eventually(lambda: moved.count() == 40, what="all to move at last")
    finally:
        host.stop()


def test_a_session_that_is_being_linked_is_not_moved(restaurant: Restaurant, stub: StubBridge, make_runner: MakeRunner) -> None:
    linking = [sessions.create(restaurant=restaurant, name=f"new {n}") for n in range(4)]
    for one in linking:
        sessions.link(session=one)
    _, host = two_bridges(stub)
    try:
        make_runner("w1@here")
        eventually(lambda: Session.objects.filter(state="linking").count() == 4, what="four codes")
        stub.linked.update(str(session.pk) for session in linked_sessions(restaurant, 4))  # later: these would go last
        eventually(lambda: Session.objects.filter(state="connected").count() == 4, what="four connections")
        make_runner("w2@here", host=host)
        moved = Session.objects.filter(owner__name="w2@here", state="connected")
        eventually(lambda: moved.count() == 4, what="the fair share to move")
        assert set(Session.objects.filter(pk__in=[one.pk for one in linking]).values_list("term", flat=True)) == {1}
    finally:
        host.stop()


def test_a_session_that_was_taken_away_is_let_go_without_a_fight(
    session: Session, stub: StubBridge, make_runner: MakeRunner
) -> None:
    online(session, stub)
    make_runner()
    until_state(session, "connected")
    other = register("w2@here")
    Session.objects.update(owner=other.worker, term=99, state="disconnected")
    eventually(lambda: ("DELETE", str(session.pk), {"term": "1"}) in stub.calls, what="its socket to be closed")
    queued(session)
    assert fresh(session).term == 99
    assert stub.sends == []


def test_comparing_with_the_bridge_writes_nothing_while_nothing_changes(
    session: Session, stub: StubBridge, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare, write = Signals.compare, session_state.write_truths
    compared: list[int] = []  # how much had been written by then
    written: list[session_state.Truth] = []

    async def counted(signals: Signals) -> None:
        await compare(signals)
        compared.append(len(written))

    def noted(**given: Any) -> session_state.Outcome:
        written.extend(given["truths"])
        return write(**given)

    monkeypatch.setattr(Signals, "compare", counted)
    monkeypatch.setattr(session_state, "write_truths", noted)
    monkeypatch.setattr("workers.engine.COMPARE_S", 0.1)
    online(session, stub)
    make_runner()
    until_state(session, "connected")
    begun = len(compared) + 1
    eventually(lambda: len(compared) > begun + 5, what="some comparisons")
    assert len(set(compared[begun:])) == 1


def test_a_row_that_cannot_be_read_holds_up_no_other(
    restaurant: Restaurant, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    """A web process of a later version may know time zones that this worker does not."""
    later = Restaurant.objects.create(name="Later", default_region="DE", time_zone="Mars/Olympus")
    [odd] = linked_sessions(later, 1)
    many = linked_sessions(restaurant, 5)
    stub.linked = {str(one.pk) for one in (odd, *many)}
    make_runner()
    for one in many:
        until_state(one, "connected")
    assert fresh(odd).state != "connected"


def test_a_claim_whose_answer_was_lost_is_found(session: Session, stub: StubBridge, make_runner: MakeRunner) -> None:
    make_runner()
    eventually(lambda: Worker.objects.filter(bridge_ready=True).exists(), what="the worker")
    stub.linked.add(str(session.pk))
    worker = Worker.objects.get()
    linked(session, owner=worker, owner_incarnation=worker.incarnation, term=5)
    until_state(session, "connected")
    assert session.term == 5


def test_a_worker_whose_lease_was_lost_starts_anew(
    session: Session, stub: StubBridge, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew, away = ownership.renew, threading.Event()

    def refuse(**given: Any) -> ownership.Renewal | None:
        if away.is_set():
            raise OperationalError("the database is away")
        return renew(**given)

    monkeypatch.setattr(ownership, "renew", refuse)
    online(session, stub)
    make_runner(ttl_s=1.5, margin_s=0.2)
    until_state(session, "connected")
    away.set()
    eventually(lambda: ("DELETE", str(session.pk), {"term": "1"}) in stub.calls, what="its socket to be closed")
    away.clear()
    eventually(lambda: fresh(session).term == 2 and session.state == "connected", what="the second term")
    until_status(queued(session), "sent")
    assert stub.sends[0][1]["term"] == 2


def test_a_pooler_that_freezes_costs_the_connections_through_it_and_not_the_worker(
    session: Session, stub: StubBridge, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its TCP lives, and it never answers."""
    monkeypatch.setattr("workers.database.HANGS_AFTER_S", 1.0)
    online(session, stub)
    route = connection.settings_dict
    with Proxy(int(route["PORT"])) as pooler, monkeypatch.context() as through:
        through.setitem(route, "PORT", pooler.port)
        make_runner(ttl_s=1.5, margin_s=0.2)
        until_state(session, "connected")
        pooler.silence()
        through.undo()
        eventually(lambda: fresh(session).term == 2 and session.state == "connected", timeout=20, what="the second term")


def test_a_lease_that_only_the_databases_clock_has_ended_goes_on(
    session: Session, stub: StubBridge, make_runner: MakeRunner
) -> None:
    online(session, stub)
    make_runner()
    until_state(session, "connected")
    Worker.objects.update(expires_at=ago(seconds=54))
    eventually(lambda: Worker.objects.get().expires_at > timezone.now(), what="the lease to go on")
    until_status(queued(session), "sent")
    assert (fresh(session).term, stub.sends[0][1]["term"]) == (1, 1)


def test_nothing_is_claimed_before_the_next_beat_tells_that_the_database_s_clock_was_set(
    session: Session, stub: StubBridge, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, claims_made = ownership.claim, list[list[ownership.Claimed]]()

    def noted(**given: Any) -> list[ownership.Claimed]:
        claims_made.append(claim(**given))
        return claims_made[-1]

    monkeypatch.setattr(ownership, "claim", noted)
    runner = make_runner(heartbeat_s=600.0, ttl_s=1_200.0)
    eventually(lambda: claims_made, what="the first claim")
    engine = runner._engine
    assert engine is not None
    before = engine.clock.now() - timedelta(hours=1)
    engine.clock.sync(before, asked_at=steady(), answered_at=steady())
    one_under_way = len(claims_made) + 1
    online(session, stub)
    eventually(lambda: len(claims_made) > one_under_way + 1, what="more claims")
    assert not any(claims_made)
    engine.clock.sync(timezone.now(), asked_at=steady(), answered_at=steady())
    until_state(session, "connected")


def test_a_lease_that_ran_out_does_not_come_back_with_a_late_answer(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The renewal was granted in time and heard of too late: what came in between was dropped, and must not be waited for."""
    monkeypatch.setattr("workers.engine.WATCH_S", 3_600.0)  # the watch comes too late as well
    renew, under_way, let_go = ownership.renew, asyncio.Event(), asyncio.Event()
    stalled, heard = threading.Event(), threading.Event()

    def stall(**given: Any) -> ownership.Renewal | None:
        renewal = renew(**given)
        if under_way.is_set() and not heard.is_set():
            stalled.set()
            heard.wait(10)
        return renewal

    async def once_let_go(who: str, send: Json) -> Json:
        under_way.set()
        await let_go.wait()
        return await acked(who, send)

    monkeypatch.setattr(ownership, "renew", stall)
    stub.answer = once_let_go
    online(session, stub)
    message = queued(session)
    runner = make_runner(margin_s=5.0)
    assert stalled.wait(10)
    engine = runner._engine
    assert engine is not None
    eventually(lambda: not engine.lease.held(), what="the lease to run out")
    tell(bridge, let_go.set)
    eventually(lambda: engine.drain.under_way() == 0, what="the result to be dropped")
    heard.set()
    until_status(message, "sent")
    assert [(send["term"], send["resend"]) for _, send in stub.sends] == [(1, False), (2, True)]


def test_it_owns_nothing_without_a_bridge_and_says_why(session: Session, stub: StubBridge, make_runner: MakeRunner) -> None:
    host = StubBridgeThread(stub)
    host.status = BridgeStatus(False, "", "Node.js is missing: run `npm ci` in node_bridge")
    online(session, stub)
    make_runner(host=host)
    eventually(
        lambda: Worker.objects.filter(bridge_ready=False, bridge_detail__startswith="Node.js is missing").exists(), what="why"
    )
    eventually(
        lambda: Worker.objects.get().heartbeat_at > Worker.objects.get().started_at + timedelta(seconds=1), what="some beats"
    )
    assert fresh(session).owner_id is None


def test_sessions_leave_a_worker_whose_bridge_stays_away(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    online(session, stub)
    make_runner(bridge_grace_s=0.5)
    until_state(session, "connected")
    bridge.status = BridgeStatus(False, "", "the bridge ended with code 1")
    eventually(lambda: fresh(session).owner_id is None, what="its release")
    assert session.events.filter(kind="released", detail__reason="no_bridge").exists()


def test_a_restarted_bridge_logs_in_again(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    online(session, stub)
    make_runner()
    until_state(session, "connected")
    stub.open.clear()
    bridge.status = replace(bridge.status, generation=2)
    eventually(lambda: [call[0] for call in stub.calls].count("PUT") == 2, what="the second login")
    until_state(session, "connected")


def test_stopping_finishes_the_send_under_way(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    under_way = asyncio.Event()

    async def slow(who: str, send: Json) -> Json:
        under_way.set()
        await asyncio.sleep(0.3)
        return await acked(who, send)

    stub.answer = slow
    online(session, stub)
    first, second = queued(session), queued(session)
    runner = make_runner()
    eventually(under_way.is_set, what="the send")
    assert runner.stop(10)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.status, second.status) == ("sent", "queued")
    assert (fresh(session).owner_id, session.state) == (None, "disconnected")
    assert Worker.objects.get().expires_at <= timezone.now()


def test_a_heartbeat_in_the_moment_of_leaving_begins_no_lease_anew(
    session: Session, stub: StubBridge, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = ownership.leave

    def left(*, me: ownership.Registration) -> None:
        leave(me=me)
        asyncio.run_coroutine_threadsafe(engine.ownership.beat(), loop)  # before the loop knows of the answer

    monkeypatch.setattr(ownership, "leave", left)
    online(session, stub)
    runner = make_runner()
    until_state(session, "connected")
    engine: Any = runner._engine
    loop: Any = runner._loop
    assert runner.stop(10)
    assert Worker.objects.get().expires_at <= timezone.now()


def test_stopping_finishes_what_is_being_claimed(
    session: Session, stub: StubBridge, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick, claimed, go_on = sending.tick, threading.Event(), threading.Event()

    def held_up(**given: Any) -> list[claims.Claim]:
        claims = tick(**given)
        if claims:
            claimed.set()
            go_on.wait(10)
        return claims

    async def slow(who: str, send: Json) -> Json:
        await asyncio.sleep(0.3)
        return await acked(who, send)

    monkeypatch.setattr(sending, "tick", held_up)
    stub.answer = slow
    online(session, stub)
    message = queued(session)
    runner = make_runner()
    assert claimed.wait(10)
    stopping = threading.Thread(target=runner.stop, args=(10,))
    stopping.start()
    engine = runner._engine
    assert engine is not None
    eventually(lambda: engine.drain.paused, what="the stop to begin")
    go_on.set()
    stopping.join(10)
    message.refresh_from_db()
    assert (message.status, timeline(message)) == ("sent", ["sending", "sent"])


def test_stopping_does_not_wait_for_a_send_that_hangs(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    under_way = asyncio.Event()

    async def hang(who: str, send: Json) -> Json:
        under_way.set()
        await asyncio.sleep(3_600)
        raise AssertionError("nobody waits that long")

    stub.answer = hang
    online(session, stub)
    message = queued(session)
    runner = make_runner(finish_s=0.3)
    eventually(under_way.is_set, what="the send")
    assert runner.stop(5)
    message.refresh_from_db()
    assert message.status == "uncertain"


def test_stopping_releases_in_time_from_a_bridge_that_does_not_answer(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    under_way, thaw = asyncio.Event(), threading.Event()

    async def freeze(who: str, send: Json) -> Json:
        under_way.set()
        thaw.wait(30)  # the whole bridge stands still
        return await acked(who, send)

    stub.answer = freeze
    online(session, stub)
    message = queued(session)
    runner = make_runner()
    eventually(under_way.is_set, what="the send")
    try:
        assert runner.stop(8)
    finally:
        thaw.set()
    assert (fresh(session).owner_id, session.state) == (None, "disconnected")
    message.refresh_from_db()
    assert message.status == "sending"  # the next owner's claim makes it uncertain


def test_a_second_worker_of_the_same_name_waits(session: Session, stub: StubBridge, make_runner: MakeRunner) -> None:
    online(session, stub)
    make_runner("w1@here")
    until_state(session, "connected")
    incarnation = Worker.objects.get().started_at
    make_runner("w1@here", hostname="elsewhere")
    beat = Worker.objects.get().heartbeat_at
    eventually(lambda: Worker.objects.get().heartbeat_at > beat + timedelta(seconds=1), what="some beats")
    assert Worker.objects.get().started_at == incarnation
    assert fresh(session).term == 1
