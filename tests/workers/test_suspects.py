"""Bridges that die, as real processes of the stub: whom it is held against, who is kept apart, and who is not held up."""

import signal
import time

import pytest

from sessions_app.models import Message, Restaurant, Session, SessionEvent
from sessions_app.policy import quarantine
from sessions_app.services import sessions
from tests.support.owning import linked, linked_sessions, queued
from tests.support.stack import eventually
from tests.support.stub_bridge import StubBridge, StubBridgeThread
from tests.workers.conftest import MakeBridge, MakeRunner, signal_to, until_connected
from workers.bridge_process import BridgeProcess


@pytest.fixture
def short_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A login is young for a second."""
    monkeypatch.setattr(quarantine, "YOUNG_S", 1.0)


def killed(bridge: BridgeProcess, number: int = signal.SIGKILL) -> None:
    """And noticed."""
    before = bridge.status.generation
    signal_to(bridge, number)
    eventually(lambda: bridge.status.generation == before + 1 and bridge.status.ready, what="the next bridge")


def deaths_of(many: list[Session]) -> list[int]:
    ids = [session.pk for session in many]
    return list(Session.objects.filter(pk__in=ids).order_by("bridge_deaths").values_list("bridge_deaths", flat=True))


# --- Deaths


def test_one_kill_of_the_bridge_costs_fifty_sessions_seconds_and_is_forgotten(
    restaurant: Restaurant, make_bridge: MakeBridge, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the worst moment: all of them are logging in, or have just done so."""
    many, bridge = linked_sessions(restaurant, 50), make_bridge()
    make_runner(host=bridge)
    until_connected(many)
    killed(bridge)
    eventually(lambda: deaths_of(many) == [1] * 50, what="the deaths on record")
    assert until_connected(many) < 10
    monkeypatch.setattr(quarantine, "CLEARED_AFTER_S", 1.0)
    eventually(lambda: deaths_of(many) == [0] * 50, what="the record to be cleared")


def test_a_death_is_held_against_the_one_that_was_sending_when_nobody_was_logging_in(
    restaurant: Restaurant, make_bridge: MakeBridge, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "YOUNG_S", 0.2)
    many, bridge = linked_sessions(restaurant, 5), make_bridge("--latency-ms", 60_000)
    make_runner(host=bridge)
    until_connected(many)
    message = queued(many[3])
    eventually(lambda: Message.objects.get(pk=message.pk).status == "sending", what="the send")
    time.sleep(quarantine.YOUNG_S + quarantine.HEARD_LATE_S)
    killed(bridge)
    eventually(lambda: sum(deaths_of(many)), what="the death on record")
    assert dict(Session.objects.filter(bridge_deaths__gt=0).values_list("pk", "bridge_deaths")) == {many[3].pk: 1}


def test_a_bridge_that_was_asked_to_end_is_held_against_nobody(
    restaurant: Restaurant, make_bridge: MakeBridge, make_runner: MakeRunner
) -> None:
    many, bridge = linked_sessions(restaurant, 3), make_bridge()
    make_runner(host=bridge)
    until_connected(many)
    killed(bridge, signal.SIGTERM)
    eventually(lambda: SessionEvent.objects.filter(detail__reason="bridge_unavailable").count() >= 3, what="the end in the log")
    until_connected(many)
    assert deaths_of(many) == [0, 0, 0]


def test_a_worker_that_stops_its_bridge_holds_it_against_nobody(
    restaurant: Restaurant, make_bridge: MakeBridge, make_runner: MakeRunner
) -> None:
    many, bridge = linked_sessions(restaurant, 3), make_bridge()
    runner = make_runner(host=bridge)
    until_connected(many)
    assert runner.stop(10)
    bridge.stop()
    assert (bridge.status.deaths, deaths_of(many)) == (0, [0, 0, 0])


@pytest.mark.long
def test_the_session_that_kills_its_bridge_is_kept_apart_and_a_person_may_try_it_again(
    restaurant: Restaurant, make_bridge: MakeBridge, make_runner: MakeRunner, short_doubt: None
) -> None:
    many = linked_sessions(restaurant, 12)
    poison = many.pop(7)
    make_runner(host=make_bridge("--kills", poison.pk))
    eventually(lambda: Session.objects.get(pk=poison.pk).state == "blocked", timeout=90, what="the quarantine")
    poison.refresh_from_db()
    assert (poison.state_reason, poison.retry_at) == ("quarantined", None)
    assert "kept apart" in poison.state_detail
    assert poison.bridge_deaths >= quarantine.ENOUGH_ALONE
    until_connected(many)
    assert not Session.objects.exclude(pk=poison.pk).filter(state="blocked").exists()
    assert not SessionEvent.objects.exclude(session=poison).filter(detail__reason="quarantined").exists()

    sessions.restart(session=poison)
    eventually(lambda: Session.objects.get(pk=poison.pk).bridge_deaths == 1, what="its next death, the first on record")
    assert Session.objects.get(pk=poison.pk).state != "blocked"


def test_the_record_goes_along_to_the_next_owner(
    restaurant: Restaurant, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that have been there at four deaths each log in alone, and after those that have none."""
    monkeypatch.setattr(quarantine, "YOUNG_S", 1.5)
    many = linked_sessions(restaurant, 6)
    stub.linked.update(str(session.pk) for session in many)
    known = [str(session.pk) for session in many[:2]]
    Session.objects.filter(pk__in=known).update(bridge_deaths=4)
    make_runner()
    until_connected(many[2:])
    until_connected(many)
    opened = [session for method, session, _ in stub.calls if method == "PUT"]
    assert len(opened) == 6
    assert opened[-1] in known
    began = {str(one.session_id): one.at for one in SessionEvent.objects.filter(detail__to="connecting")}
    assert abs((began[known[0]] - began[known[1]]).total_seconds()) >= 1.4


# --- Crashes of one session that the bridge survived


def test_a_session_that_crashes_three_times_is_kept_apart_until_a_person_restarts_it(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    stub.linked.add(str(session.pk))
    linked(session, crashes=2)  # with its owner before this one
    make_runner()
    until_connected([session])
    bridge.do(lambda: stub.close(str(session.pk), "crashed", {"cause": "a bug"}))
    eventually(lambda: Session.objects.get().state == "blocked", what="the quarantine")
    session.refresh_from_db()
    assert (session.state_reason, session.crashes, session.retry_at) == ("quarantined", 3, None)
    assert session.events.filter(kind="state", detail__reason="quarantined").exists()
    sessions.restart(session=session)
    until_connected([session])
    assert Session.objects.get().crashes == 0
    assert [call[0] for call in stub.calls].count("PUT") == 2


def test_a_session_that_crashed_is_tried_again_and_its_crash_forgotten_when_it_lasts(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "CLEARED_AFTER_S", 0.5)
    stub.linked.add(str(session.pk))
    linked(session)
    make_runner()
    until_connected([session])
    bridge.do(lambda: stub.close(str(session.pk), "crashed", {"cause": "a bug"}))
    eventually(lambda: Session.objects.get().crashes == 1, what="the crash on record")
    until_connected([session])
    eventually(lambda: Session.objects.get().crashes == 0, what="the record to be cleared")
