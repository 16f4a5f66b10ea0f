"""A worker's engine on a real database: links, drains, fails, heals and lets go. Only the bridge is a stub of its contract."""

import asyncio
import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import DataError, OperationalError, connection
from django.utils import timezone

from sessions_app.models import Message, Restaurant, Session, SessionEvent, Worker
from sessions_app.policy.pacing import Pace
from sessions_app.policy.sharing import MOVING_AT_ONCE
from sessions_app.services import claims, linking, ownership, sending, sessions
from tests.support.owning import ago, linked, linked_sessions, queued, register, timeline
from tests.support.stack import eventually
from tests.support.stub_bridge import Json, StubBridge, StubBridgeThread, acked
from tests.workers.conftest import MakeRunner
from workers.bridge import _send_body
from workers.bridge_process import BridgeStatus
from workers.signals import Signals

SCANNED = "+4915199999999"
CUT_EVERY_OTHER_CONNECTION = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"""


def fresh(session: Session) -> Session:
    session.refresh_from_db()
    return session


def until_state(session: Session, state: str) -> Session:
    eventually(lambda: fresh(session).state == state, what=f"{state}, was {session.state} ({session.state_reason})")
    return session


def until_status(message: Message, status: str) -> Message:
    def reached() -> bool:
        message.refresh_from_db()
        return message.status == status

    eventually(reached, what=f"{status}, was {message.status} ({message.error_code})")
    return message


def online(session: Session, stub: StubBridge) -> Session:
    """Linked before: it only has to log in."""
    stub.linked.add(str(session.pk))
    return linked(session)


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    return [record.msg for record in caplog.records if isinstance(record.msg, dict) and record.msg["event"] == event]


def claim_until(expires_at: datetime) -> claims.Claim:
    return claims.Claim(
        uuid4(), uuid4(), 1, "sending", 0, "3EB0AAAAAAAA", "+4915112345678", "", "", "hello", expires_at, 1, {}, False, 0
    )


def tell(bridge: StubBridgeThread, act: Any) -> None:
    bridge.do(act)


def two_bridges(stub: StubBridge) -> tuple[StubBridge, StubBridgeThread]:
    """A second one that holds the same credentials."""
    other = StubBridge(secret=stub._secret)
    other.linked = stub.linked
    host = StubBridgeThread(other)
    host.start()
    return other, host


# --- Linking


def test_it_links_by_qr_and_keeps_who_it_is(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    make_runner()
    sessions.link(session=session)
    until_state(session, "linking")
    assert session.qr == f"qr-of-{session.pk}"
    assert session.qr_expires_at is not None and session.qr_expires_at > timezone.now()
    tell(bridge, lambda: stub.scan(str(session.pk), SCANNED))
    until_state(session, "connected")
    assert (session.phone, session.lid, session.push_name, session.qr) == (SCANNED, "1@lid", "Luigi", "")
    assert session.linked_at is not None
    eventually(lambda: fresh(session).link_until is None, what="the wish to end")
    states = [event.detail["to"] for event in session.events.filter(kind="state").order_by("id")]
    assert states == ["linking", "connected"]


def test_it_links_by_pairing_code(session: Session, make_runner: MakeRunner) -> None:
    make_runner()
    sessions.link(session=session, phone="+4915112345678")
    until_state(session, "linking")
    assert (session.pairing_code, session.qr) == ("ABCD1234", "")


def test_it_changes_from_qr_to_code_while_linking(session: Session, make_runner: MakeRunner) -> None:
    make_runner()
    sessions.link(session=session)
    until_state(session, "linking")
    sessions.link(session=session, phone="+4915112345678")
    eventually(lambda: fresh(session).pairing_code == "ABCD1234", what="a pairing code")
    assert session.qr == ""


def test_codes_that_ran_out_are_shown_anew_while_somebody_watches(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    make_runner()
    sessions.link(session=session)
    until_state(session, "linking")
    tell(bridge, lambda: stub.close(str(session.pk), "link_expired"))
    eventually(lambda: len([call for call in stub.calls if call[0] == "PUT"]) == 2, what="a second link")
    until_state(session, "linking")


def test_a_window_that_ends_takes_the_code_away_and_frees_the_session(session: Session, make_runner: MakeRunner) -> None:
    make_runner()
    sessions.link(session=session)
    until_state(session, "linking")
    Session.objects.update(link_until=ago(seconds=0))
    until_state(session, "unlinked")
    assert (session.qr, session.state_reason) == ("", "link_expired")
    eventually(lambda: fresh(session).owner_id is None, what="its release")


def test_a_passkey_is_said_in_plain_words_and_ends_linking(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    make_runner()
    sessions.link(session=session)
    until_state(session, "linking")
    tell(bridge, lambda: stub.close(str(session.pk), "passkey_required"))
    until_state(session, "unlinked")
    assert session.state_reason == "passkey_required"
    assert "passkey" in session.state_detail
    eventually(lambda: fresh(session).owner_id is None, what="its release")


# --- Wishes


def test_stop_start_restart_and_log_out(session: Session, stub: StubBridge, make_runner: MakeRunner) -> None:
    online(session, stub)
    make_runner()
    until_state(session, "connected")
    sessions.stop(session=session)
    until_state(session, "stopped")
    sessions.start(session=session)
    until_state(session, "connected")
    opened = len([call for call in stub.calls if call[0] == "PUT"])
    sessions.restart(session=session)
    eventually(lambda: fresh(session).restart_done == 1, what="the restart")
    until_state(session, "connected")
    assert len([call for call in stub.calls if call[0] == "PUT"]) == opened + 1
    sessions.log_out(session=session)
    until_state(session, "unlinked")
    assert (session.linked_at, session.phone) == (None, "")
    assert stub.calls[-1][2].get("logout") == "true"
    eventually(lambda: fresh(session).owner_id is None, what="its release")


# --- Connections that end


@pytest.mark.parametrize("reason", ["connection_lost", "restart_required"])
def test_it_reconnects_by_itself(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner, reason: str
) -> None:
    online(session, stub)
    make_runner()
    until_state(session, "connected")
    tell(bridge, lambda: stub.close(str(session.pk), reason))
    eventually(lambda: SessionEvent.objects.filter(detail__reason=reason).exists(), what="the loss in the log")
    until_state(session, "connected")
    assert fresh(session).failures == 0


def test_a_log_out_on_the_phone_wipes_and_the_queue_waits(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    online(session, stub)
    make_runner()
    until_state(session, "connected")
    tell(bridge, lambda: stub.close(str(session.pk), "logged_out"))
    eventually(lambda: fresh(session).linked_at is None, what="the end of the link")
    assert (session.state, session.state_reason) == ("logged_out", "logged_out")
    assert str(session.pk) not in stub.linked
    message = queued(session)
    eventually(lambda: fresh(session).owner_id is None, what="its release")
    message.refresh_from_db()
    assert message.status == "queued"


@pytest.mark.parametrize(
    ("reason", "state"), [("forbidden", "blocked"), ("replaced", "disconnected"), ("banned_temporarily", "blocked")]
)
def test_it_does_not_fight(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner, reason: str, state: str
) -> None:
    online(session, stub)
    make_runner()
    until_state(session, "connected")
    until = (timezone.now() + timedelta(hours=2)).isoformat()
    tell(bridge, lambda: stub.close(str(session.pk), reason, {"until": until}))
    until_state(session, state)
    assert session.state_reason == reason
    assert session.retry_at is None or session.retry_at > timezone.now() + timedelta(seconds=10)
    assert [call[0] for call in stub.calls].count("PUT") == 1
    assert str(session.pk) in stub.linked


def test_what_whatsapp_does_to_a_number_is_an_error_in_the_log_and_says_what_for(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner, caplog: pytest.LogCaptureFixture
) -> None:
    online(session, stub)
    make_runner()
    until_state(session, "connected")
    with caplog.at_level("ERROR"):
        tell(bridge, lambda: stub.close(str(session.pk), "banned_temporarily", {"until": None, "kind": "101"}))
        until_state(session, "blocked")
    (line,) = logged(caplog, "session.needs_attention")
    assert (line["session"], line["reason"]) == (str(session.pk), "banned_temporarily")
    assert "too many people" in session.state_detail
    assert line["detail"] == session.state_detail


def test_a_session_replaced_by_its_new_owner_is_left_to_it(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner, caplog: pytest.LogCaptureFixture
) -> None:
    """The first that a former owner hears of it may be its socket's end: it looks whose session it is before anything else."""
    online(session, stub)
    make_runner(look_every_s=3_600)
    until_state(session, "connected")
    other = register("w2@here")
    Session.objects.update(owner=other.worker, term=99, state="connected", state_reason="")
    tell(bridge, lambda: stub.close(str(session.pk), "replaced"))
    queued(session)
    eventually(lambda: logged(caplog, "session.lost"), what="the former owner to see it")
    assert (fresh(session).term, session.state, session.state_reason, session.retry_at) == (99, "connected", "", None)
    assert [call[0] for call in stub.calls].count("PUT") == 1
    assert stub.sends == []


def test_missing_credentials_are_said(session: Session, make_runner: MakeRunner) -> None:
    linked(session)
    make_runner()
    until_state(session, "logged_out")
    assert (session.state_reason, session.linked_at) == ("not_linked", None)


def test_a_login_refused_for_a_while_is_tried_again_with_the_link_kept(
    session: Session, stub: StubBridge, make_runner: MakeRunner
) -> None:
    online(session, stub)
    stub.refuse_open[str(session.pk)] = (503, "store_unavailable")
    make_runner()
    until_state(session, "disconnected")
    eventually(lambda: fresh(session).state_reason == "store_unavailable", what="the reason")
    stub.refuse_open.clear()
    until_state(session, "connected")


# --- Draining


def test_it_drains_in_order_and_says_what_it_did(session: Session, stub: StubBridge, make_runner: MakeRunner) -> None:
    online(session, stub)
    waiting = [queued(session, f"message {n}") for n in range(10)]
    make_runner()
    until_status(waiting[-1], "sent")
    assert [send["content"]["text"] for _, send in stub.sends] == [f"message {n}" for n in range(10)]
    assert [send["id"] for _, send in stub.sends] == [message.wa_id for message in waiting]
    assert {send["term"] for _, send in stub.sends} == {1}
    for message in waiting:
        message.refresh_from_db()
        assert (message.status, message.attempts, message.address) == ("sent", 1, "4915112345678@s.whatsapp.net")
        assert timeline(message) == ["sending", "sent"]


def test_the_bridge_is_told_how_long_a_message_is_good_for_and_no_time_of_day(
    session: Session, stub: StubBridge, make_runner: MakeRunner
) -> None:
    online(session, stub)
    soon, never = queued(session, expires_at=ago(seconds=-60)), queued(session)
    make_runner()
    until_status(soon, "sent"), until_status(never, "sent")
    (_, first), (_, second) = stub.sends
    assert 40_000 < first["valid_for_ms"] <= 60_000
    assert {"expires_at", "valid_for_ms"} & (second.keys() | first.keys()) == {"valid_for_ms"}
    assert "valid_for_ms" not in second


def test_how_long_it_is_good_for_goes_by_the_clock_that_its_end_is_by() -> None:
    """The database's; this machine's may be off by hours."""
    end = datetime(2026, 3, 1, 12, tzinfo=UTC)
    left = [_send_body(claim_until(end), end - timedelta(seconds=before), 0)["valid_for_ms"] for before in (90, 0.5, 0, -7200)]
    assert left == [90_000, 500, 0, 0]


def test_the_pace_lies_between_its_bounds_and_the_first_goes_at_once(
    session: Session, stub: StubBridge, make_runner: MakeRunner
) -> None:
    online(session, stub)
    waiting = [queued(session) for _ in range(6)]
    make_runner(pace=Pace(150, 300))
    until_status(waiting[-1], "sent")
    sent = list(Message.objects.order_by("seq"))
    assert [message.delay_ms == 0 for message in sent] == [True] + [False] * 5
    for before, after in pairwise(sent):
        assert before.sent_at and after.sent_at and after.delay_ms
        gap = (after.sent_at - before.sent_at).total_seconds() * 1_000
        assert 150 <= after.delay_ms <= 300
        assert gap >= after.delay_ms - 1


def test_a_restaurants_own_pace_counts(session: Session, stub: StubBridge, make_runner: MakeRunner) -> None:
    Restaurant.objects.update(pace_min_delay_ms=200, pace_max_delay_ms=200)
    online(session, stub)
    waiting = [queued(session) for _ in range(3)]
    make_runner()
    until_status(waiting[-1], "sent")
    assert list(Message.objects.order_by("seq").values_list("delay_ms", flat=True)) == [0, 200, 200]


def test_a_wake_up_starts_an_idle_session_at_once(session: Session, stub: StubBridge, make_runner: MakeRunner) -> None:
    online(session, stub)
    runner = make_runner(look_every_s=3_600)
    until_state(session, "connected")
    message = queued(session)
    runner.wake([session.pk])
    until_status(message, "sent")


def test_work_is_found_without_a_wake_up(session: Session, stub: StubBridge, make_runner: MakeRunner) -> None:
    online(session, stub)
    make_runner()
    until_state(session, "connected")
    until_status(queued(session), "sent")


def test_all_steady_sessions_learn_in_turn_of_what_no_wake_up_told(
    restaurant: Restaurant, stub: StubBridge, make_runner: MakeRunner
) -> None:
    """More of them than one look takes, and not a multiple of it."""
    many = [online(session, stub) for session in linked_sessions(restaurant, 25)]
    an_hour = 3_600_000
    make_runner(pace=Pace(an_hour, an_hour))
    waiting = [queued(session, body) for session in many for body in ("first", "second")]
    eventually(lambda: Message.objects.filter(status="sent").count() == 25, what="the first of each")
    Restaurant.objects.update(pace_min_delay_ms=0, pace_max_delay_ms=0)
    eventually(lambda: Message.objects.filter(status="sent").count() == len(waiting), what="the second of each")


def test_without_a_pace_one_tick_settles_a_message_and_claims_the_next(
    session: Session, stub: StubBridge, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    tick, ticks = sending.tick, []

    def noted(**given: Any) -> list[claims.Claim]:
        claims = tick(**given)
        ticks.append((len(given["settlements"]), len(claims)))
        return claims

    monkeypatch.setattr(sending, "tick", noted)
    online(session, stub)
    waiting = [queued(session) for _ in range(5)]
    make_runner()
    until_status(waiting[-1], "sent")
    assert [done for done in ticks if any(done)] == [(0, 1), *[(1, 1)] * 4, (1, 0)]


def test_many_sessions_drain_side_by_side(restaurant: Restaurant, stub: StubBridge, make_runner: MakeRunner) -> None:
    many = linked_sessions(restaurant, 40)
    stub.linked.update(str(session.pk) for session in many)
    for session in many:
        queued(session, "one"), queued(session, "two")
    make_runner()
    eventually(lambda: not Message.objects.exclude(status="sent").exists(), what="everything sent")
    for session in many:
        assert [send["content"]["text"] for who, send in stub.sends if who == str(session.pk)] == ["one", "two"]


# --- Sends that go wrong


class Script:
    """Answers by the number of attempts a message has had."""

    def __init__(self, *answers: Json | None) -> None:
        self.answers = list(answers)
        self.seen: Counter[str] = Counter()

    async def __call__(self, session: str, send: Json) -> Json:
        self.seen[send["id"]] += 1
        answer = self.answers.pop(0) if self.answers else None
        return answer or await acked(session, send)


def test_silence_is_resent_first_under_the_same_id_on_a_new_connection(
    session: Session, stub: StubBridge, make_runner: MakeRunner
) -> None:
    stub.answer = Script({"outcome": "unknown", "reason": "ack_timeout"})
    online(session, stub)
    first, second = queued(session, "first"), queued(session, "second", priority=0)
    Message.objects.filter(pk=second.pk).update(not_before=ago(seconds=-2))
    make_runner()
    until_status(first, "sent")
    until_status(second, "sent")
    assert [(send["id"], send["resend"]) for _, send in stub.sends] == [
        (first.wa_id, False),
        (first.wa_id, True),
        (second.wa_id, False),
    ]
    assert timeline(first) == ["sending", "uncertain", "sending", "sent"]
    assert [call[0] for call in stub.calls].count("PUT") == 2


def test_what_was_surely_not_sent_holds_the_session_and_keeps_its_order(
    session: Session, stub: StubBridge, make_runner: MakeRunner
) -> None:
    stub.answer = Script({"outcome": "not_sent", "reason": "store_unavailable"})
    online(session, stub)
    first, second = queued(session), queued(session)
    make_runner()
    until_status(second, "sent")
    assert [send["id"] for _, send in stub.sends] == [first.wa_id, first.wa_id, second.wa_id]
    assert [send["resend"] for _, send in stub.sends] == [False, False, False]
    assert [send["attempt"] for _, send in stub.sends] == [1, 2, 1]
    assert timeline(first) == ["sending", "queued", "sending", "sent"]


def test_a_message_that_cannot_be_sent_does_not_hold_up_the_next(
    session: Session, stub: StubBridge, make_runner: MakeRunner
) -> None:
    stub.answer = Script({"outcome": "not_sent", "reason": "not_on_whatsapp"}, {"outcome": "not_sent", "reason": "no_devices"})
    online(session, stub)
    nobody, no_devices, fine = (queued(session, to_phone=f"+491511234567{n}") for n in range(3))
    make_runner()
    until_status(fine, "sent")
    assert until_status(nobody, "failed").error_code == "not_on_whatsapp"
    assert until_status(no_devices, "queued").hold_reason == "no_devices"
    assert no_devices.hold_until is not None


def test_463_fails_at_once_with_its_code(session: Session, stub: StubBridge, make_runner: MakeRunner) -> None:
    stub.answer = Script({"outcome": "rejected", "code": "463", "address": "a@lid"})
    online(session, stub)
    message = queued(session)
    make_runner()
    assert until_status(message, "failed").error_code == "wa_463"
    assert "people who have not written" in message.error_detail


def test_a_bridge_that_dies_under_a_send_leaves_it_uncertain_and_resends(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    under_way, let_go = asyncio.Event(), asyncio.Event()

    async def hang(who: str, send: Json) -> Json:
        under_way.set()
        await let_go.wait()
        raise ConnectionResetError

    stub.answer = hang
    online(session, stub)
    message = queued(session)
    make_runner()
    eventually(under_way.is_set, what="the send")

    def restart() -> None:
        stub.answer = acked
        let_go.set()
        stub.close(str(session.pk), "connection_lost")

    tell(bridge, restart)
    until_status(message, "sent")
    assert [send["resend"] for _, send in stub.sends] == [False, True]


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
    compare, write = Signals.compare, linking.write_truths
    compared: list[int] = []  # how much had been written by then
    written: list[linking.Truth] = []

    async def counted(signals: Signals) -> None:
        await compare(signals)
        compared.append(len(written))

    def noted(**given: Any) -> set[UUID]:
        written.extend(given["truths"])
        return write(**given)

    monkeypatch.setattr(Signals, "compare", counted)
    monkeypatch.setattr(linking, "write_truths", noted)
    monkeypatch.setattr("workers.engine.COMPARE_S", 0.1)
    online(session, stub)
    make_runner()
    until_state(session, "connected")
    begun = len(compared) + 1
    eventually(lambda: len(compared) > begun + 5, what="some comparisons")
    assert len(set(compared[begun:])) == 1


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


# --- A database that goes away


def test_it_rides_out_lost_database_connections(session: Session, stub: StubBridge, make_runner: MakeRunner) -> None:
    online(session, stub)
    make_runner(pace=Pace(20, 20))
    until_state(session, "connected")
    waiting = [queued(session, f"message {n}") for n in range(20)]
    for _ in range(4):
        sent = Message.objects.filter(status="sent").count()
        with connection.cursor() as cursor:
            cursor.execute(CUT_EVERY_OTHER_CONNECTION)
        eventually(lambda sent=sent: Message.objects.filter(status="sent").count() > sent, what="more to be sent")  # type: ignore[misc]
    until_status(waiting[-1], "sent")
    assert not Message.objects.exclude(status="sent").exists()
    order = [send["content"]["text"] for _, send in stub.sends]
    assert list(dict.fromkeys(order)) == [f"message {n}" for n in range(20)]
    assert ownership.holder(name="w1@here") is not None


@pytest.mark.parametrize("lost", range(5))
def test_a_commit_whose_answer_is_lost_sends_nothing_twice(
    session: Session, stub: StubBridge, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    """The connection breaks between a commit and its answer, at the first tick that did something or at a later one."""
    tick, worked = sending.tick, count()

    def answer_lost(**given: Any) -> list[claims.Claim]:
        claims = tick(**given)
        if (claims or given["settlements"]) and next(worked) == lost:
            raise OperationalError("server closed the connection unexpectedly")
        return claims

    monkeypatch.setattr(sending, "tick", answer_lost)
    online(session, stub)
    waiting = [queued(session) for _ in range(4)]
    make_runner()
    until_status(waiting[-1], "sent")
    assert [send["id"] for _, send in stub.sends] == [message.wa_id for message in waiting]
    assert not Message.objects.exclude(status="sent").exists()
    assert [timeline(message)[-1] for message in waiting] == ["sent"] * 4
    assert next(worked) > lost


def test_a_result_that_cannot_be_written_holds_up_its_own_session_alone(
    restaurant: Restaurant, stub: StubBridge, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, *good = many = linked_sessions(restaurant, 5)
    tick = sending.tick

    def refuse(**given: Any) -> list[claims.Claim]:
        if any(one.session == bad.pk for one in given["settlements"]):
            raise DataError("out of range")
        return tick(**given)

    monkeypatch.setattr(sending, "tick", refuse)
    stub.linked.update(str(session.pk) for session in many)
    for session in many * 3:
        queued(session)
    make_runner()
    eventually(lambda: Message.objects.filter(session__in=good, status="sent").count() == 12, what="the others' messages")
    assert Message.objects.filter(session=bad, status="sent").count() == 0


def test_names_that_postgresql_cannot_hold_do_no_harm(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    make_runner()
    sessions.link(session=session)
    until_state(session, "linking")
    tell(bridge, lambda: stub.tell(str(session.pk), "connected", phone=SCANNED, lid="1@lid", name="Lu\0i\ud800gi" + "!" * 200))
    until_state(session, "connected")
    assert session.push_name.startswith("Lui?gi!")
    assert len(session.push_name) == 120
