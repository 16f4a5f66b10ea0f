"""What a worker lends its bridge, and how it finds that its bridge hangs."""

import signal
from dataclasses import replace

import pytest

from sessions_app.models import Restaurant, Session, SessionEvent
from sessions_app.policy import quarantine
from tests.support.owning import ago, linked, linked_sessions
from tests.support.stack import eventually
from tests.support.stub_bridge import StubBridge, StubBridgeThread
from tests.workers.conftest import MakeBridge, MakeRunner, config, signal_to, until_connected
from tests.workers.watching import online
from workers.bridge_lease import HUNG_AFTER_S, LONGEST_STEP_S, Silence


@pytest.fixture
def known(session: Session, stub: StubBridge) -> Session:
    return online(session, stub)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bridge counts as hung after two seconds."""
    monkeypatch.setattr("workers.bridge_lease.HUNG_AFTER_S", 2.0)
    monkeypatch.setattr("workers.bridge.LEASE_TIMEOUT_S", 0.5)


# --- The lease


def test_it_lends_what_is_left_of_its_own_lease_at_each_renewal_and_before_it_opens_anything(
    known: Session, stub: StubBridge, make_runner: MakeRunner
) -> None:
    make_runner()
    until_connected([known])
    eventually(lambda: len(stub.leases) > 5, what="some renewals")
    own = config("any")
    assert stub.leases[0][0] == 0
    assert all(0 < good_for_ms <= (own.ttl_s - own.margin_s) * 1000 for _, good_for_ms in stub.leases)


def test_a_new_process_is_lent_the_lease_before_it_opens_anything(
    known: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    make_runner()
    until_connected([known])
    stub.leasable = False
    stub.open.clear()
    bridge.status = replace(bridge.status, generation=2)
    eventually(lambda: Session.objects.get().state_reason == "bridge_unavailable", what="the end of the first")
    refused = stub.refused_leases
    eventually(lambda: stub.refused_leases > refused + 3, what="some refusals")
    assert len(stub.calls) == 1
    stub.leasable = True
    until_connected([known])


def test_a_session_that_the_bridge_let_go_for_want_of_a_lease_is_opened_again_at_once(
    known: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    make_runner()
    until_connected([known])
    bridge.do(lambda: stub.close(str(known.pk), "lease_ran_out"))
    eventually(lambda: [call[0] for call in stub.calls].count("PUT") == 2, timeout=2, what="the second login")
    until_connected([known])
    eventually(lambda: SessionEvent.objects.filter(detail__reason="lease_ran_out").exists(), what="its words in the log")
    assert Session.objects.get().failures == 0


def test_a_worker_that_stops_ends_the_lease_when_its_sockets_are_closed(
    known: Session, stub: StubBridge, make_runner: MakeRunner
) -> None:
    runner = make_runner()
    until_connected([known])
    assert runner.stop(10)
    closed = [call[0] for call in stub.calls].index("DELETE")
    assert stub.leases[-1] == (closed + 1, 0)


# --- A bridge that hangs


def test_a_bridge_that_does_not_answer_is_killed_and_another_one_started(
    restaurant: Restaurant,
    make_bridge: MakeBridge,
    make_runner: MakeRunner,
    impatient: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    many, bridge = linked_sessions(restaurant, 3), make_bridge()
    make_runner(host=bridge)
    until_connected(many)
    signal_to(bridge, signal.SIGSTOP)
    eventually(lambda: bridge.status.generation == 2 and bridge.status.ready, what="another one")
    assert "bridge.hung" in caplog.text
    assert bridge.status.deaths == 1
    eventually(lambda: Session.objects.filter(bridge_deaths=1).count() == 3, what="its death on record")
    until_connected(many)


def test_a_hang_is_held_against_the_session_that_logged_in_when_it_began(
    restaurant: Restaurant,
    session: Session,
    make_bridge: MakeBridge,
    make_runner: MakeRunner,
    impatient: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quarantine, "YOUNG_S", 0.3)
    monkeypatch.setattr(quarantine, "LONGEST_LOGIN_S", 1.0)  # over when the bridge is killed
    many, bridge = linked_sessions(restaurant, 3), make_bridge("--hangs", session.pk)
    make_runner(host=bridge)
    until_connected(many)
    grown = Session.objects.filter(pk__in=[one.pk for one in many])
    eventually(lambda: grown.filter(connected_at__lt=ago(seconds=1)).count() == 3, what="the end of their youth")
    linked(session)
    eventually(lambda: bridge.status.deaths == 1, what="the death")
    eventually(lambda: Session.objects.get(pk=session.pk).bridge_deaths == 1, what="its death on record")
    assert not Session.objects.exclude(pk=session.pk).filter(bridge_deaths__gt=0).exists()


def test_a_short_standstill_is_not_taken_for_a_hang(
    restaurant: Restaurant, make_bridge: MakeBridge, make_runner: MakeRunner, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    many, bridge = linked_sessions(restaurant, 2), make_bridge()
    make_runner(host=bridge)
    until_connected(many)
    for _ in range(3):
        heard = caplog.text.count("bridge.silent")
        signal_to(bridge, signal.SIGSTOP)
        try:
            eventually(lambda heard=heard: caplog.text.count("bridge.silent") > heard, what="its silence")  # type: ignore[misc]
        finally:
            signal_to(bridge, signal.SIGCONT)
        until_connected(many)
    assert (bridge.status.generation, bridge.status.deaths) == (1, 0)
    assert "bridge.hung" not in caplog.text


def test_calls_without_an_answer_add_up_from_the_first_question() -> None:
    silence = Silence(began=98.0)
    for asked_at in (100.0, 105.0, 110.0):
        silence.unanswered(asked_at=asked_at, gave_up_at=asked_at + 3)
    assert silence.seconds == 13
    assert silence.hung_between(answered_at=0.0) == (98.0, 100.5)
    assert silence.hung_between(answered_at=99.5) == (99.5, 100.5)


def test_time_in_which_this_process_stood_still_counts_for_little() -> None:
    frozen_while_asking, frozen_between = Silence(began=98.0), Silence(began=98.0)
    frozen_while_asking.unanswered(asked_at=100.0, gave_up_at=400.0)
    frozen_between.unanswered(asked_at=100.0, gave_up_at=103.0)
    frozen_between.unanswered(asked_at=400.0, gave_up_at=403.0)
    assert frozen_while_asking.seconds == LONGEST_STEP_S
    assert frozen_between.seconds == 3 + LONGEST_STEP_S < HUNG_AFTER_S
