"""Is it well? Counts and booleans only: it answers anybody."""

from typing import Literal

from django.db import DatabaseError, connection
from django.db.models import Count
from django.db.models.functions import Now
from django.http import HttpRequest
from ninja import Router
from ninja.responses import Status

from sessions_app.api.fields import Answer
from sessions_app.models import Session, Worker
from sessions_app.services import sweeps
from sessions_app.services.counters import redis_answers

router = Router()


class WorkersHealth(Answer):
    alive: int
    ready: int
    """Of those alive: with a bridge that runs, and not draining."""
    draining: int


class Health(Answer):
    status: Literal["ok", "degraded", "down"]
    """`down`: the database is away, or was not migrated. `degraded`: Redis is away, no worker is ready, or periodic work stands
    still (`sweep_age_s`); messages are accepted, and may wait."""
    database: bool
    redis: bool
    workers: WorkersHealth | None
    sessions: dict[str, int] | None
    """How many sessions are in each state; null while the database is away."""
    sweep_age_s: float | None
    """Seconds since scheduled messages were last released. beat has a default worker do so every 2 s: above 30, and null, which
    is never, one of them does not run, and webhooks and expiry wait as well. Null also while the database is away."""


@router.get("", auth=None, response={200: Health, 503: Health})
def get_health(request: HttpRequest) -> Status[Health]:
    """The state of the installation. 503 when the database is away."""
    health = check()
    return Status(200 if health.database else 503, health)


def check() -> Health:
    redis = redis_answers()
    try:
        workers, sessions, sweep_age = _workers(), _sessions(), sweeps.age()
    except DatabaseError:
        connection.close()
        return Health(status="down", database=False, redis=redis, workers=None, sessions=None, sweep_age_s=None)
    well = redis and workers.ready and not sweeps.stand_still(sweep_age)
    status: Literal["ok", "degraded"] = "ok" if well else "degraded"
    return Health(status=status, database=True, redis=redis, workers=workers, sessions=sessions, sweep_age_s=sweep_age)


def _workers() -> WorkersHealth:
    alive = list(Worker.objects.filter(expires_at__gt=Now()).values_list("bridge_ready", "draining"))
    return WorkersHealth(
        alive=len(alive),
        ready=sum(ready and not draining for ready, draining in alive),
        draining=sum(draining for _, draining in alive),
    )


def _sessions() -> dict[str, int]:
    found = Session.objects.filter(deleted_at=None).order_by().values_list("state").annotate(Count("pk"))
    return dict.fromkeys(Session.State.values, 0) | dict(found)
