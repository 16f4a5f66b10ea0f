"""Workers, linked sessions and queued messages for tests of what owners do."""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.utils import timezone

from sessions_app.models import Message, Restaurant, SendTally, Session, Worker
from sessions_app.services import ownership
from sessions_app.services.ownership import Claimed, Registration
from tests.support.threads import at_once

T = TypeVar("T")


def register(name: str = "w1@here", *, ttl_s: float = 30, ready: bool = True) -> Registration:
    """A worker that is alive and, unless told otherwise, ready to own sessions."""
    me = ownership.register(name=name, queue=f"worker.{name}", hostname="here", pid=1, capacity=100, ttl_s=ttl_s)
    if ready:
        assert ownership.renew(me=me, ttl_s=ttl_s, bridge_ready=True, bridge_detail="", draining=False)
    return me


def linked(session: Session, **more: Any) -> Session:
    Session.objects.filter(pk=session.pk).update(
        **{"linked_at": timezone.now(), "phone": "+4915199999999", "state": "disconnected", **more}
    )
    session.refresh_from_db()
    return session


def linked_sessions(restaurant: Restaurant, count: int) -> list[Session]:
    now = timezone.now()
    made = [Session(restaurant=restaurant, name=f"s{n}", linked_at=now, state="disconnected") for n in range(count)]
    return Session.objects.bulk_create(made)


def connected(session: Session, me: Registration) -> Claimed:
    """Claimed by that worker, and connected."""
    linked(session)
    claimed = {one.session: one for one in ownership.claim(me=me, limit=100)}
    Session.objects.filter(pk=session.pk).update(state="connected")
    return claimed[session.pk]


def old(session: Session, **more: Any) -> Session:
    """Long past its warm-up."""
    Session.objects.filter(pk=session.pk).update(first_linked_at=ago(days=300), **more)
    return session


def rules(**columns: Any) -> None:
    """Of every restaurant."""
    Restaurant.objects.update(**columns)


def tally(session: Session, quarter: datetime, lane: int, sent: int) -> None:
    SendTally.objects.create(session=session, quarter=quarter, lane=lane, sent=sent)


def queued(session: Session, body: str = "hello", **more: Any) -> Message:
    now = timezone.now()
    wa_id = "3EB0" + secrets.token_hex(9).upper()
    values = {"not_before": now, "status": "queued", "status_at": now, "wa_id": wa_id, "to_phone": "+4915112345678", **more}
    return Message.objects.create(restaurant=session.restaurant, session=session, body=body, **values)


def ago(**span: float) -> datetime:
    return timezone.now() - timedelta(**span)


def timeline(message: Message) -> list[str]:
    return list(message.events.order_by("id").values_list("status", flat=True))


def in_threads(count: int, act: Callable[[int], T]) -> list[T]:
    """`act(0)` to `act(count - 1)` at one moment. Needs `transactional_db`; raises what one of them raised."""
    answers = at_once(*(lambda number=number: act(number) for number in range(count)))
    results: list[T] = []
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
        results.append(answer)
    return results


def expire(name: str = "w1@here") -> None:
    """The worker's lease runs out."""
    Worker.objects.filter(name=name).update(expires_at=ago(seconds=1))
