"""Wake-ups: a hint to the worker that owns a session that there is something to do.

Nothing depends on one arriving: owners look for work themselves every second or so. So a broker that is away costs
the caller a fraction of a second once in a while, and never an error.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

import structlog
from celery import Celery
from django.conf import settings
from django.db.models.functions import Now
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from sessions_app.models import Session
from sessions_app.services.breaker import redis_breaker

log = structlog.get_logger(__name__)

TASK = "workers.wake"
COALESCE_S = 0.2
BROKER_TIMEOUT_S = 0.4  # each of connecting and writing
_REMEMBERED = 10_000  # sessions

_recent: dict[UUID, float] = {}
_recent_lock = threading.Lock()


def _publisher() -> Celery:
    """An app that only publishes: the workers' own waits half a minute for a slow broker, and a web request must not."""
    app = Celery("wakeups", broker=settings.REDIS_URL, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        broker_connection_timeout=BROKER_TIMEOUT_S,
        broker_transport_options={
            "socket_connect_timeout": BROKER_TIMEOUT_S,
            "socket_timeout": BROKER_TIMEOUT_S,
            "max_retries": 0,
        },
    )
    return app


_app = _publisher()


def wake(session_ids: Iterable[UUID], *, coalesce: bool = True) -> None:
    """Tell the owners of these sessions to look now. A session told less than 200 ms ago is not told again,
    unless `coalesce` is off (a person waits). Sessions without a live owner are left out: workers look for those."""
    ids = list(session_ids)
    wanted = _not_told_lately(ids) if coalesce else ids
    if not wanted or not redis_breaker.allows():
        return
    for queue, owned in _by_queue(wanted).items():
        if not _send(queue, owned):
            return


def _not_told_lately(session_ids: list[UUID]) -> list[UUID]:
    now = time.monotonic()
    with _recent_lock:
        if len(_recent) > _REMEMBERED:
            _recent.clear()
        fresh = [one for one in session_ids if now - _recent.get(one, -COALESCE_S) >= COALESCE_S]
        _recent.update(dict.fromkeys(fresh, now))
    return fresh


def _by_queue(session_ids: list[UUID]) -> dict[str, list[str]]:
    owned: dict[str, list[str]] = defaultdict(list)
    rows = Session.objects.filter(pk__in=session_ids, owner__expires_at__gt=Now()).values_list("owner__queue", "pk")
    for queue, session_id in rows:
        owned[queue].append(str(session_id))
    return owned


def _send(queue: str, session_ids: list[str]) -> bool:
    try:
        _app.send_task(TASK, args=[session_ids], queue=queue, retry=False)
    except (KombuError, RedisError, OSError) as error:
        if redis_breaker.failed():
            log.warning("wakeups.broker_away", error=type(error).__name__)
        return False
    redis_breaker.succeeded()
    return True
