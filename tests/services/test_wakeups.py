"""On real Valkey: what arrives in the owner's queue."""

import base64
import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.conf import settings
from django.utils import timezone

from sessions_app.models import Session, Worker
from sessions_app.services import messages, sessions, wakeups

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def queue() -> Iterator[str]:
    name = f"worker.{uuid.uuid4()}"
    yield name
    client().delete(name)


@pytest.fixture
def owned(session: Session, queue: str) -> Session:
    now = timezone.now()
    session.owner = Worker.objects.create(
        name=queue, queue=queue, capacity=1, started_at=now, heartbeat_at=now, expires_at=now + timedelta(minutes=1)
    )
    session.save()
    return session


def client() -> "redis.Redis":
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=5)


def tasks(queue: str) -> list[tuple[str, Any]]:
    """Name and arguments of each task in the queue, oldest first."""
    raw: Any = client().lrange(queue, 0, -1)
    found = [json.loads(one) for one in reversed(raw)]
    return [(one["headers"]["task"], json.loads(base64.b64decode(one["body"]))[0]) for one in found]


def test_a_message_wakes_its_owner_on_its_own_queue(owned: Session, queue: str) -> None:
    messages.enqueue(session=owned, to="+4915112345678", body="hi")
    assert tasks(queue) == [("workers.wake", [[str(owned.pk)]])]


def test_a_burst_costs_one_task(owned: Session, queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeups, "COALESCE_S", 60)  # however slow the machine is
    for _ in range(5):
        wakeups.wake([owned.pk])
    assert len(tasks(queue)) == 1


def test_a_wish_of_a_person_is_never_coalesced(owned: Session, queue: str) -> None:
    wakeups.wake([owned.pk])
    sessions.link(session=owned)
    sessions.stop_linking(session=owned)
    assert len(tasks(queue)) == 3


def test_sessions_of_one_owner_share_a_task(owned: Session, queue: str) -> None:
    other = sessions.create(restaurant=owned.restaurant, name="second")
    Session.objects.filter(pk=other.pk).update(owner=owned.owner)
    wakeups.wake([owned.pk, other.pk])
    [(_, [told])] = tasks(queue)
    assert set(told) == {str(owned.pk), str(other.pk)}


def test_a_dead_owners_queue_stays_empty(owned: Session, queue: str) -> None:
    Worker.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    wakeups.wake([owned.pk])
    assert tasks(queue) == []


def test_a_message_that_was_rolled_back_wakes_nobody(owned: Session, queue: str) -> None:
    with pytest.raises(messages.InvalidMessage):
        messages.enqueue(session=owned, to="+4915112345678", body="")
    assert tasks(queue) == []
