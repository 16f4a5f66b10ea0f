"""All who write one batch of messages or customers lock them in one order, so that nobody waits for another in a circle."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Thread
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.db import connection

from sessions_app.models import Contact, InboundMessage, Message, Session
from sessions_app.services import claims, inbound, ownership, sending
from sessions_app.services.claims import Claim, Due
from sessions_app.services.ownership import Claimed, Registration
from tests.services.test_inbound import event, receipt, received
from tests.support.claiming import (
    COLD,
    NEW,
    WARM,
    claim,
    contact,
    fresh,
    numbers,
    settle,
    settlement,
)
from tests.support.owning import ago, expire, linked_sessions, queued, register
from tests.support.stack import eventually
from tests.support.threads import somebody_waits

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


@pytest.fixture
def unanswered(transactional_db: None, session: Session, me: Registration) -> list[Claim]:
    """Two sessions' messages, handed over; the sessions are in the opposite order of their messages."""
    many = linked_sessions(session.restaurant, 2)
    terms = {one.session: one for one in ownership.claim(me=me, limit=100)}
    Session.objects.update(state="connected")
    for one in reversed(many):
        queued(one)
    return [found for one in many if (found := claim(me, terms[one.pk]))]


def in_the_order_of_receipts(claims: list[Claim], act: Callable[[], object]) -> None:
    in_order(sorted(one.message for one in claims), act)


def in_order(messages: list[UUID], act: Callable[[], object]) -> None:
    """Somebody has locked the first message. What `act` does waits for it, and has not locked the other one yet."""
    first, later = messages
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as receipts:
        lock = "SELECT id FROM message WHERE id = %s FOR UPDATE"
        receipts.execute(lock, [first])
        thread = Thread(target=_in_thread, args=(act,))
        thread.start()
        eventually(somebody_waits, what="that it waits")
        receipts.execute(f"{lock} NOWAIT", [later])
        receipts.rollback()
        thread.join(10)


@contextmanager
def held(table: str, row: UUID) -> Iterator[None]:
    """By somebody who does nothing with it."""
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as holder:
        holder.execute(f"SELECT id FROM {table} WHERE id = %s FOR UPDATE".encode(), [row])
        yield
        holder.rollback()


@contextmanager
def between_look_and_lock(act: Callable[[], object]) -> Iterator[None]:
    """What is done here comes after the claim of `act` has seen its messages, and before it locks them."""

    def pausing(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        pause = "FROM (SELECT pg_advisory_xact_lock(1) FROM ruled) AS pause, ruled JOIN message"
        return execute(sql.replace("FROM ruled JOIN message", pause), params, many, context)

    def paused() -> None:
        with connection.execute_wrapper(pausing):
            act()

    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(1)")
        thread = Thread(target=_in_thread, args=(paused,))
        thread.start()
        eventually(somebody_waits, what="that it pauses")
        yield
        holder.rollback()
        thread.join(10)


def _in_thread(act: Callable[[], object]) -> None:
    try:
        act()
    finally:
        connection.close()


def statuses() -> set[str]:
    return set(Message.objects.values_list("status", flat=True))


def test_settlements_lock_messages_in_the_order_of_receipts(me: Registration, unanswered: list[Claim]) -> None:
    """Or a batch of each would wait for the other in a circle."""
    told = [settlement(one) for one in unanswered]
    in_the_order_of_receipts(unanswered, lambda: sending.tick(worker=me.worker, settlements=told, due=[]))
    assert statuses() == {"sent"}


@pytest.mark.parametrize("nth", [0, 1])
def test_a_resend_waits_for_no_receipt_whatever_the_same_tick_settles(
    me: Registration, unanswered: list[Claim], nth: int
) -> None:
    """It may be getting it at this moment. The receipt of what is settled may wait for this tick, which must not wait for it."""
    again, answered = sorted(unanswered, key=lambda one: one.message, reverse=bool(nth))
    Message.objects.filter(pk=again.message).update(status="uncertain", not_before=ago(seconds=1))
    told, due = [settlement(answered)], [Due(again.session, again.term)]
    with held("message", again.message):
        assert sending.tick(worker=me.worker, settlements=told, due=due) == []
        assert statuses() == {"uncertain", "sent"}
    assert [one.resend for one in sending.tick(worker=me.worker, settlements=told, due=due)] == [True]


def test_so_do_those_who_give_their_claims_back(me: Registration, unanswered: list[Claim]) -> None:
    doubtful = [(one.session, one.term) for one in unanswered]
    in_the_order_of_receipts(unanswered, lambda: claims.give_back(worker=me.worker, sessions=doubtful))
    assert statuses() == {"queued"}


def test_so_do_those_who_take_a_dead_workers_sessions_over(me: Registration, unanswered: list[Claim]) -> None:
    expire()
    other = register("w2@here")
    in_the_order_of_receipts(unanswered, lambda: ownership.claim(me=other, limit=100))
    assert statuses() == {"uncertain"}


def waits_for_its_session(message: Message, lock: str, events: list[dict[str, Any]]) -> None:
    """Somebody has locked the session. The batch waits for that, and has not locked the message yet."""
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as holder:
        holder.execute(f"SELECT id FROM wa_session WHERE id = %s {lock}".encode(), [message.session_id])
        thread = Thread(target=_in_thread, args=(lambda: inbound.record(bridge="b", events=events),))
        thread.start()
        eventually(somebody_waits, what="that it waits for the session")
        holder.execute("SELECT id FROM message WHERE id = %s FOR UPDATE NOWAIT", [message.pk])
        holder.rollback()
        thread.join(10)


def test_a_batch_of_events_holds_no_message_while_it_waits_for_a_session(me: Registration, unanswered: list[Claim]) -> None:
    """A tick holds its sessions and then wants their messages. After a login a batch has receipts, and what WhatsApp says of the
    number."""
    message = Message.objects.select_related("session").get(pk=unanswered[0].message)
    told = [receipt(message, "delivered"), event(message.session, "number.restricted", active=True, until=None, kind="")]
    waits_for_its_session(message, "FOR NO KEY UPDATE", told)
    message.session.refresh_from_db()
    assert (fresh(message).status, message.session.standing["time_lock"]["active"]) == ("delivered", True)


@pytest.fixture
def waiting(transactional_db: None, session: Session, me: Registration) -> list[tuple[Claimed, Message]]:
    """Two sessions with a stranger's message each; the sessions are in the opposite order of their messages."""
    many = linked_sessions(session.restaurant, 2)
    terms = {one.session: one for one in ownership.claim(me=me, limit=100)}
    Session.objects.update(state="connected")
    made = {one.pk: queued(one, lane=COLD, to_phone=to) for one, to in zip(reversed(many), numbers(2), strict=True)}
    for one in many:
        contact(one, made[one.pk].to_phone)
    return [(terms[one.pk], made[one.pk]) for one in many]


def test_who_writes_waits_for_claims_in_the_order_of_ids(me: Registration, waiting: list[tuple[Claimed, Message]]) -> None:
    """Two customers write in one batch while both sessions' next messages go to them: the later message is free while the first
    one is waited for."""
    lower, higher = sorted(message.pk for _, message in waiting)
    told = [
        received(message.session, phone=message.to_phone, chat=f"{n}@lid", id=f"A{n}") for n, (_, message) in enumerate(waiting)
    ]
    in_order([lower, higher], lambda: inbound.record(bridge="b", events=told))
    assert set(Message.objects.values_list("lane", flat=True)) == {WARM}


@pytest.mark.parametrize("table", ["wa_session", "message"])
def test_what_somebody_holds_holds_up_no_other_session(
    me: Registration, waiting: list[tuple[Claimed, Message]], table: str
) -> None:
    """A web transaction that stands still, or somebody's psql. It is found again, and goes once it is free."""
    (mine, message), (other, _) = waiting
    due = [Due(one.session, one.term) for one, _ in waiting]
    with held(table, message.pk if table == "message" else mine.session):
        assert [one.session for one in sending.tick(worker=me.worker, settlements=[], due=due)] == [other.session]
        assert [one.session for one in claims.ready(worker=me.worker, sessions=[mine.session])] == [mine.session]
        assert sending.tick(worker=me.worker, settlements=[], due=due) == []
    assert [one.message for one in sending.tick(worker=me.worker, settlements=[], due=due)] == [message.pk]


@pytest.mark.parametrize(("parked", "status"), [(True, "queued"), (False, "sending")])
def test_what_a_customer_frees_during_the_claim_is_not_held_after_all(
    me: Registration, waiting: list[tuple[Claimed, Message]], parked: bool, status: str
) -> None:
    mine, message = waiting[0]
    if parked:
        Contact.objects.update(refusals=1, parked_until=ago(days=-1))
    due = [Due(mine.session, mine.term)]
    with between_look_and_lock(lambda: sending.tick(worker=me.worker, settlements=[], due=due)):
        inbound.record(bridge="b", events=[received(message.session, phone=message.to_phone)])
    assert (fresh(message).status, message.lane, message.hold_reason) == (status, WARM, "")
    if parked:
        assert [one.message for one in sending.tick(worker=me.worker, settlements=[], due=due)] == [message.pk]


def test_a_chat_that_opens_waits_for_no_message_that_is_held(me: Registration, waiting: list[tuple[Claimed, Message]]) -> None:
    """Who holds one of them may wait for another that this settlement has ranked already."""
    mine, message = waiting[0]
    Message.objects.filter(pk=message.pk).update(lane=NEW)
    got = claim(me, mine)
    assert got is not None
    here, there = (queued(message.session, lane=NEW, to_phone=message.to_phone) for _ in range(2))
    with held("message", here.pk):
        settle(me, got, on_whatsapp=True, lane=NEW)
    assert (fresh(here).lane, fresh(there).lane) == (NEW, COLD)


def test_a_batch_of_events_waits_for_a_deletion_before_it_holds_a_message(
    me: Registration, waiting: list[tuple[Claimed, Message]]
) -> None:
    """Who deletes a session holds it, and then wants its messages; what a customer writes refers to the session."""
    _, message = waiting[0]
    told = [received(message.session, phone=message.to_phone)]
    waits_for_its_session(message, "FOR UPDATE", told)
    assert InboundMessage.objects.count() == 1


def test_new_customers_are_noted_in_one_order(session: Session, me: Registration) -> None:
    """By owners as by who takes in what they write: each may be about to note one that the other has just noted."""
    many = linked_sessions(session.restaurant, 6)
    terms = {one.session: one for one in ownership.claim(me=me, limit=100)}
    Session.objects.update(state="connected")
    for one, to in zip(reversed(many), numbers(6), strict=True):
        queued(one, to_phone=to)
    got = [found for one in reversed(many) if (found := claim(me, terms[one.pk]))]
    sending.tick(worker=me.worker, settlements=[settlement(one, sent_at=NOON, on_whatsapp=True) for one in got], due=[])
    assert noted() == sorted(noted())
    Contact.objects.all().delete()
    told = [
        received(one, phone=to, lid=f"{to[1:]}@lid", chat=to, id=to) for one, to in zip(reversed(many), numbers(6), strict=True)
    ]
    inbound.record(bridge="b", events=told)
    assert noted() == sorted(noted())


def noted() -> list[tuple[UUID, str]]:
    """Contacts in the order in which their rows were written."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_id, phone FROM contact ORDER BY ctid")
        return list(cursor.fetchall())
