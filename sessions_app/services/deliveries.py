"""What webhooks are told: taken when it is due, settled by what came of it, forgotten in the end.

The rows are made by triggers (migration 0010) in the transaction that makes an event true: none is told that did not happen, and
none that happened is left out.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from sessions_app.models import Webhook, WebhookDelivery
from sessions_app.policy.webhooks import LEASE, OUTAGE, Answer, Verdict, probe_pause
from sessions_app.services import webhook_bodies, webhooks
from sessions_app.services.sql import execute, fetch

MOST_AT_ONCE = 64
OF_RESTAURANT = 16  # of those
EACH = 8  # of one webhook
KEPT_DAYS = 30
GIVEN_UP_DAYS = 4  # what still waits then is never told
BATCH, BATCHES = 10_000, 100  # at one go


@dataclass(frozen=True, slots=True)
class Due:
    """One attempt to be made."""

    delivery: int
    webhook: UUID
    event_id: UUID
    url: str
    secrets: tuple[str, ...]
    body: bytes
    topic: str
    attempts: int  # with this one


@dataclass(frozen=True, slots=True)
class Result:
    due: Due
    answer: Answer
    verdict: Verdict


class _Id(NamedTuple):
    id: int


# Who has been tried least goes first: what an address cannot bear never stands before what is new. In turns among the webhooks
# of a restaurant and among restaurants, after those that are under way, so that nobody's backlog takes all the places.
_TAKE = """
    WITH calls AS (
        SELECT w.id, w.restaurant_id, c.n
        FROM unnest(%(called)s::uuid[], %(calls)s::int[]) AS c(id, n) JOIN webhook w ON w.id = c.id
    ), due AS (
        SELECT id FROM (
            SELECT d.id, COALESCE(r.n, 0) + row_number() OVER (PARTITION BY w.restaurant_id ORDER BY random()) AS place
            FROM webhook w
            LEFT JOIN calls c ON c.id = w.id
            LEFT JOIN (SELECT restaurant_id, sum(n) AS n FROM calls GROUP BY restaurant_id) r ON r.restaurant_id = w.restaurant_id
            CROSS JOIN LATERAL (
                SELECT id FROM webhook_delivery
                WHERE webhook_id = w.id AND state = 'pending' AND next_attempt_at <= statement_timestamp()
                ORDER BY attempts, next_attempt_at
                LIMIT GREATEST(CASE WHEN w.failures > 0 THEN 1 ELSE %(each)s END - COALESCE(c.n, 0), 0)
                FOR UPDATE SKIP LOCKED) AS d
            WHERE w.is_active AND w.retry_at <= statement_timestamp() AND w.id <> ALL(%(without)s::uuid[])
        ) AS ranked
        WHERE place <= %(of_restaurant)s ORDER BY place, random() LIMIT %(most)s
    )
    UPDATE webhook_delivery d SET attempts = d.attempts + 1,
        next_attempt_at = statement_timestamp() + %(lease)s::interval
    FROM due WHERE d.id = due.id RETURNING d.id"""

_TOLD_OF = ("webhook", "message_event__message", "session_event__session", "inbound__contact")


def take(*, most: int = MOST_AT_ONCE, under_way: Mapping[UUID, int] | None = None, without: Collection[UUID] = ()) -> list[Due]:
    """What is due now, of each webhook the oldest first. `under_way`: how many calls each webhook has; `without` get none."""
    calls = dict(under_way or {})
    limits = {"each": EACH, "of_restaurant": OF_RESTAURANT, "most": most, "lease": LEASE}
    values = {**limits, "called": list(calls), "calls": list(calls.values()), "without": list(without)}
    taken = [row.id for row in fetch(_Id, _TAKE, values)]
    rows = WebhookDelivery.objects.select_related(*_TOLD_OF).filter(pk__in=taken).order_by("id") if taken else ()
    return [_due(row) for row in rows]


def _due(row: WebhookDelivery) -> Due:
    webhook = row.webhook
    return Due(
        delivery=row.pk,
        webhook=webhook.pk,
        event_id=row.event_id,
        url=webhook.url,
        secrets=tuple(webhooks.secrets_of(webhook)),
        body=webhook_bodies.body(row),
        topic=row.topic,
        attempts=row.attempts,
    )


_SETTLE = """
    UPDATE webhook_delivery d SET state = t.state, response_status = t.status, error = left(t.error, 200),
        next_attempt_at = COALESCE(t.retry_at, d.next_attempt_at),
        finished_at = CASE WHEN t.state <> 'pending' THEN statement_timestamp() END
    FROM unnest(%(id)s::bigint[], %(state)s::text[], %(status)s::int[], %(error)s::text[], %(retry_at)s::timestamptz[])
        AS t(id, state, status, error, retry_at)
    WHERE d.id = t.id AND d.state = 'pending'"""

_STATES = {"delivered": "delivered", "again": "pending", "failed": "failed"}


@transaction.atomic
def settle(*, results: Sequence[Result], under_way: Collection[int] = ()) -> None:
    """`results` in the order in which they came; `under_way` are attempts that have no result yet."""
    values = {
        "id": [one.due.delivery for one in results],
        "state": [_STATES[one.verdict.next] for one in results],
        "status": [one.answer.status for one in results],
        "error": [one.answer.error for one in results],
        "retry_at": [one.verdict.retry_at for one in results],
    }
    execute(_SETTLE, values)
    _note_health(results, under_way)


def _note_health(results: Sequence[Result], under_way: Collection[int]) -> None:
    of_webhook: dict[UUID, list[Result]] = defaultdict(list)
    for result in results:
        of_webhook[result.due.webhook].append(result)
    now = timezone.now()
    rows = list(Webhook.objects.select_for_update(no_key=True).filter(pk__in=list(of_webhook)).order_by("pk"))
    for row in rows:
        for result in of_webhook[row.pk]:
            if result.due.url != row.url:  # it was changed meanwhile, and this says nothing of the new one
                continue
            if result.verdict.next == "delivered" and row.failures >= OUTAGE:
                _hurry(row, under_way)
            _note(row, result, now)
    fields = ["failures", "failing_since", "last_error", "last_success_at", "retry_at", "is_active", "inactive_reason"]
    Webhook.objects.bulk_update(rows, fields)


def _note(row: Webhook, result: Result, now: datetime) -> None:
    if result.verdict.next == "delivered":
        row.failures, row.failing_since, row.last_error, row.last_success_at = 0, None, "", now
        row.retry_at = min(row.retry_at, now)
        return
    row.failures += 1
    row.failing_since = row.failing_since or now
    row.last_error = result.answer.error[:200]
    row.retry_at = now + probe_pause(row.failures)
    if result.verdict.gone:
        row.is_active, row.inactive_reason = False, "The other side answered 410 Gone: it wants no more of these."


# What an outage looks like; any other answer may be about what was sent, and waits its own time.
_OUT_OF_ORDER = Q(response_status__isnull=True) | Q(response_status__in=[429, 502, 503, 504])


def _hurry(row: Webhook, under_way: Collection[int]) -> None:
    """An outage is over: what failed because of it goes now, not hours later."""
    waiting = WebhookDelivery.objects.filter(_OUT_OF_ORDER, webhook=row, state=WebhookDelivery.Outcome.PENDING, attempts__gt=0)
    waiting.filter(next_attempt_at__gt=Now()).exclude(pk__in=under_way).update(next_attempt_at=Now())


_GIVE_UP = """
    UPDATE webhook_delivery SET state = 'failed', error = 'It could not be told for days.', finished_at = clock_timestamp()
    WHERE id IN (SELECT id FROM webhook_delivery
                 WHERE state = 'pending' AND created_at < statement_timestamp() - make_interval(days => %(days)s)
                 ORDER BY created_at LIMIT %(batch)s FOR UPDATE SKIP LOCKED)"""

_FORGET = """
    DELETE FROM webhook_delivery
    WHERE id IN (SELECT id FROM webhook_delivery
                 WHERE finished_at < statement_timestamp() - make_interval(days => %(days)s) LIMIT %(batch)s)"""


def forget() -> int:
    """What nobody has taken for days is given up; what was finished long ago is deleted."""
    _in_batches(_GIVE_UP, days=GIVEN_UP_DAYS)
    return _in_batches(_FORGET, days=KEPT_DAYS)


def _in_batches(statement: str, *, days: int) -> int:
    total = 0
    for _ in range(BATCHES):
        total += (count := execute(statement, {"days": days, "batch": BATCH}))
        if count < BATCH:
            break
    return total


def waiting() -> bool:
    """Whether anything is due."""
    statement = """
        SELECT w.id FROM webhook w
        WHERE w.is_active AND w.retry_at <= statement_timestamp()
          AND EXISTS (SELECT 1 FROM webhook_delivery d
                      WHERE d.webhook_id = w.id AND d.state = 'pending' AND d.next_attempt_at <= statement_timestamp())
        LIMIT 1"""
    return bool(fetch(_Id, statement, {}))


@contextmanager
def alone() -> Iterator[bool]:
    """Whether nobody else delivers meanwhile. The lock is a transaction's: it ends with a process that dies, and a pooler can
    carry it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '2min'")
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended('webhooks', 0))")
        yield bool(cursor.fetchone()[0])
