"""What the pages count. Nothing here reads more rows than it says, however many messages there are."""

import uuid
from collections.abc import Sequence

from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from sessions_app.models import Message, Session, Worker

CAP = 1_000
NEWEST_COUNTED = 50_000


def live_workers() -> QuerySet[Worker]:
    """Alive by the database's clock; the web's own may differ."""
    return Worker.objects.filter(expires_at__gt=Now())


def usable_worker_exists() -> bool:
    return live_workers().filter(bridge_ready=True, draining=False).exists()


def alive_ids(workers: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    return set(live_workers().filter(pk__in=workers).values_list("pk", flat=True))


def waiting_counts(sessions: Sequence[uuid.UUID]) -> dict[uuid.UUID, int]:
    """Queued messages of each session, counted up to CAP + 1, on the partial index of the claim."""
    query = """
        SELECT s.id, q.waiting FROM unnest(%s::uuid[]) AS s (id), LATERAL (
            SELECT count(*) AS waiting FROM (SELECT 1 FROM message WHERE session_id = s.id AND status = 'queued' LIMIT %s) AS m
        ) AS q"""
    with connection.cursor() as cursor:
        cursor.execute(query, [list(sessions), CAP + 1])
        return dict(cursor.fetchall())


def capped(count: int) -> str:
    return f"{CAP:,}+" if count > CAP else f"{count:,}"


def ahead_of(message: Message) -> int:
    """Messages of the same lane that are claimed before this one, counted up to CAP + 1."""
    first = Q(priority__lt=message.priority) | Q(priority=message.priority, seq__lt=message.seq)
    line = {"session": message.session_id, "status": Message.Status.QUEUED, "held": False, "lane": message.lane}
    waiting = Message.objects.filter(first, **line)
    return waiting.order_by()[: CAP + 1].count()


def counts_by_status(*, since: uuid.UUID, restaurants: Sequence[uuid.UUID] | None) -> dict[str, int]:
    """Messages accepted since an id, by status; the newest NEWEST_COUNTED of them stand for more. None: every restaurant."""
    mine = "" if restaurants is None else "AND restaurant_id = ANY(%(restaurants)s)"
    query = f"""
        SELECT status, count(*) FROM (
            SELECT status FROM message WHERE id >= %(since)s {mine} ORDER BY id DESC LIMIT %(limit)s
        ) AS newest GROUP BY status"""
    with connection.cursor() as cursor:
        cursor.execute(query, {"since": since, "restaurants": list(restaurants or ()), "limit": NEWEST_COUNTED})
        return dict(cursor.fetchall())


def oldest_waiting(*, restaurants: Sequence[uuid.UUID] | None) -> Message | None:
    """The queued message that has been due for longest. None: every restaurant."""
    waiting = Message.objects.select_related("session", "restaurant").filter(status=Message.Status.QUEUED)
    if restaurants is not None:
        # Through the claim's index: by time, another restaurant's long queue would be read first.
        waiting = waiting.filter(
            session__in=list(Session.objects.filter(restaurant__in=restaurants).values_list("pk", flat=True))
        )
    return waiting.order_by("not_before").first()
