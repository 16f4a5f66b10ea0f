"""A worker's engine on a real database: it drains, whatever becomes of its sends and of the database."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import DataError, OperationalError, connection

from sessions_app.models import Message, Restaurant, Session
from sessions_app.policy.pacing import Pace
from sessions_app.services import claims, ownership, sending
from tests.support.claiming import PHONE, contact
from tests.support.owning import ago, linked_sessions, queued, timeline
from tests.support.stack import eventually
from tests.support.stub_bridge import Json, StubBridge, StubBridgeThread, acked
from tests.workers.conftest import MakeRunner
from tests.workers.watching import online, tell, until_state, until_status
from workers import drain
from workers.bridge import _send_body

OTHER = "+4915187654321"
CUT_EVERY_OTHER_CONNECTION = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"""


def claim_until(expires_at: datetime) -> claims.Claim:
    return claims.Claim(
        uuid4(), uuid4(), 1, "sending", 0, "3EB0AAAAAAAA", "+4915112345678", "", "", "hello", expires_at, 1, {}, False, 0
    )


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


def test_a_row_that_denies_the_connection_is_corrected_and_its_messages_go(
    session: Session, stub: StubBridge, make_runner: MakeRunner
) -> None:
    online(session, stub)
    make_runner()
    until_state(session, "connected")
    Session.objects.filter(pk=session.pk).update(state="disconnected")
    until_status(queued(session), "sent")
    assert until_state(session, "connected")


def test_more_typing_than_the_bridge_takes_is_no_reason_to_fail() -> None:
    shown = _send_body(claim_until(datetime(2026, 3, 1, tzinfo=UTC)), datetime(2026, 3, 1, tzinfo=UTC), 60_000)["typing_ms"]
    assert shown == 15_000


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


def test_a_session_that_nothing_else_holds_up_waits_for_no_tick(
    session: Session, stub: StubBridge, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a send, and after a message that is not to be sent at all."""

    async def from_now_on(who: str, send: Json) -> Json:
        monkeypatch.setattr(drain, "TICK_S", 3_600.0)
        return await acked(who, send)

    stub.answer = from_now_on
    online(session, stub)
    contact(session, OTHER, opted_out_at=ago(days=1))
    waiting = [queued(session, to_phone=to) for to in (PHONE, PHONE, OTHER, OTHER, PHONE)]
    make_runner()
    until_status(waiting[-1], "sent")
    assert [until_status(one, "suppressed").attempts for one in waiting[2:4]] == [0, 0]


def test_many_sessions_drain_side_by_side(restaurant: Restaurant, stub: StubBridge, make_runner: MakeRunner) -> None:
    many = linked_sessions(restaurant, 40)
    stub.linked.update(str(session.pk) for session in many)
    for session in many:
        queued(session, "one"), queued(session, "two")
    make_runner()
    eventually(lambda: not Message.objects.exclude(status="sent").exists(), what="everything sent")
    for session in many:
        assert [send["content"]["text"] for who, send in stub.sends if who == str(session.pk)] == ["one", "two"]


def test_a_session_that_somebody_holds_is_looked_at_again_and_holds_up_no_other(
    restaurant: Restaurant, stub: StubBridge, make_runner: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And now and then, not in each tick."""
    tick = sending.tick
    due: list[UUID] = []

    def noted(**given: Any) -> list[claims.Claim]:
        due.extend(one.session for one in given["due"])
        return tick(**given)

    here, there = (online(one, stub) for one in linked_sessions(restaurant, 2))
    runner = make_runner()
    until_state(here, "connected"), until_state(there, "connected")
    monkeypatch.setattr(sending, "tick", noted)
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as holder:
        holder.execute("SELECT id FROM wa_session WHERE id = %s FOR NO KEY UPDATE", [here.pk])
        waits = queued(here)
        for _ in range(5):
            runner.wake([here.pk])
            until_status(queued(there), "sent")
        eventually(lambda: due.count(here.pk) > 2, what="that it is looked at again")
        tried, until = due.count(here.pk), time.monotonic() + 1
        eventually(lambda: time.monotonic() > until, what="a second")
        assert 0 < due.count(here.pk) - tried < 20  # the looks come ten times a second here
        holder.rollback()
    until_status(waits, "sent")


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
