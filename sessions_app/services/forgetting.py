"""What is older than it is kept: finished messages with their timelines, what customers wrote, activity logs.

Each kind goes a page at a time along its primary key, oldest first. A page is one conditional statement that waits for nobody, so
that running it twice, or twice at once, does no harm. What points at a row keeps it, and has a sweep of its own that forgets it
first: Idempotency-Keys (`sweeps`), what webhooks were told (`deliveries`).
"""

from datetime import datetime
from time import monotonic
from typing import NamedTuple
from uuid import UUID

from django.conf import settings

from sessions_app.models.base import first_uuid7
from sessions_app.services.sql import fetch

PAGE = 1_000  # rows that are looked at
RUN_S = 3.0  # of each kind, after which the rest is left to the next run: processes of the default worker are few


class Kind(NamedTuple):
    name: str
    first: UUID | int  # smaller than any primary key
    statement: str


class Page(NamedTuple):
    gone: int
    last: UUID | int | None  # where the next page begins; None: nothing beyond is old enough


class _Moment(NamedTuple):
    at: datetime


# An array of ids is searched for in an index, however many the planner thinks there are; for a join it may read the whole table.

# An old message may still wait, or have got a receipt just now. Whoever adds to its timeline holds it, and it is passed over; who
# comes later finds it gone. A line that was added between the look and the lock keeps its message by the foreign key: the page is
# undone then, and its turn comes again with the next run.
MESSAGES = Kind(
    "messages",
    UUID(int=0),
    """
    WITH page AS MATERIALIZED (
        SELECT id FROM message WHERE id > %(after)s AND id < %(before)s ORDER BY id LIMIT %(page)s
    ), old AS MATERIALIZED (
        SELECT m.id FROM message m
        WHERE m.id = ANY(ARRAY(SELECT id FROM page))
          AND m.status IN ('sent', 'delivered', 'read', 'failed', 'canceled', 'expired', 'suppressed')
          AND m.status_at < %(until)s
          AND NOT EXISTS (SELECT 1 FROM idempotency_record k WHERE k.message_id = m.id)
          AND NOT EXISTS (SELECT 1 FROM message_event e JOIN webhook_delivery d ON d.message_event_id = e.id
                          WHERE e.message_id = m.id)
        ORDER BY m.id FOR UPDATE OF m SKIP LOCKED
    ), timeline AS (
        DELETE FROM message_event e USING old WHERE e.message_id = old.id
    ), gone AS (
        DELETE FROM message m USING old WHERE m.id = old.id RETURNING m.id
    )
    SELECT (SELECT count(*) FROM gone), (SELECT id FROM page ORDER BY id DESC LIMIT 1)""",
)

# What proves an opt-out is a row of its own (`optouts`), and stays.
INBOUND = Kind(
    "inbound_messages",
    UUID(int=0),
    """
    WITH page AS MATERIALIZED (
        SELECT id FROM inbound_message WHERE id > %(after)s AND id < %(before)s ORDER BY id LIMIT %(page)s
    ), old AS MATERIALIZED (
        SELECT i.id FROM inbound_message i
        WHERE i.id = ANY(ARRAY(SELECT id FROM page)) AND i.created_at < %(until)s
          AND NOT EXISTS (SELECT 1 FROM webhook_delivery d WHERE d.inbound_id = i.id)
        ORDER BY i.id FOR UPDATE OF i SKIP LOCKED
    ), gone AS (
        DELETE FROM inbound_message i USING old WHERE i.id = old.id RETURNING i.id
    )
    SELECT (SELECT count(*) FROM gone), (SELECT id FROM page ORDER BY id DESC LIMIT 1)""",
)

# What webhooks are told of a session depends on what was true before (migration 0015): the last line of that stays, however old.
# Ids rise with time: beyond a page that has nothing old there is nothing old.
_HEARD = """({0}.kind IN ('number_restricted', 'chat_cap')
               OR {0}.kind = 'state' AND {0}.detail->>'to' NOT IN ('linking', 'connecting'))"""
SESSION_EVENTS = Kind(
    "session_events",
    0,
    f"""
    WITH page AS MATERIALIZED (
        SELECT id, at FROM wa_session_event WHERE id > %(after)s ORDER BY id LIMIT %(page)s
    ), old AS MATERIALIZED (
        SELECT e.id FROM wa_session_event e
        WHERE e.id = ANY(ARRAY(SELECT id FROM page)) AND e.at < %(until)s
          AND NOT EXISTS (SELECT 1 FROM webhook_delivery d WHERE d.session_event_id = e.id)
          AND ({_HEARD.format("e")} IS NOT TRUE OR e.id <> (
               SELECT n.id FROM wa_session_event n
               WHERE n.session_id = e.session_id AND n.kind = e.kind AND {_HEARD.format("n")}
               ORDER BY n.at DESC, n.id DESC LIMIT 1))
        ORDER BY e.id FOR UPDATE OF e SKIP LOCKED
    ), gone AS (
        DELETE FROM wa_session_event e USING old WHERE e.id = old.id RETURNING e.id
    )
    SELECT (SELECT count(*) FROM gone), (SELECT max(id) FROM page HAVING bool_or(at < %(until)s))""",
)

# What people did to a message in the admin names whom it went to.
ADMIN_ENTRIES = Kind(
    "admin_entries",
    0,
    """
    WITH page AS MATERIALIZED (
        SELECT l.id, l.action_time AS at FROM django_admin_log l JOIN django_content_type t ON t.id = l.content_type_id
        WHERE t.app_label = 'sessions_app' AND t.model = 'message' AND l.id > %(after)s ORDER BY l.id LIMIT %(page)s
    ), old AS MATERIALIZED (
        SELECT l.id FROM django_admin_log l
        WHERE l.id = ANY(ARRAY(SELECT id FROM page)) AND l.action_time < %(until)s
        ORDER BY l.id FOR UPDATE OF l SKIP LOCKED
    ), gone AS (
        DELETE FROM django_admin_log l USING old WHERE l.id = old.id RETURNING l.id
    )
    SELECT (SELECT count(*) FROM gone), (SELECT max(id) FROM page HAVING bool_or(at < %(until)s))""",
)

KINDS = (MESSAGES, INBOUND, SESSION_EVENTS, ADMIN_ENTRIES)


def forget(kind: Kind) -> int:
    """How many rows of this kind are gone; none while everything is kept."""
    if not settings.MESSAGES_KEPT_DAYS:
        return 0
    until, ends_at = _kept_since(), monotonic() + RUN_S
    page = forget_page(kind, until=until)
    total = page.gone
    while page.last is not None and monotonic() < ends_at:
        page = forget_page(kind, until=until, after=page.last)
        total += page.gone
    return total


def forget_page(kind: Kind, *, until: datetime, after: UUID | int | None = None) -> Page:
    """What is older than `until` of the next PAGE rows."""
    begin = kind.first if after is None else after
    values = {"after": begin, "before": first_uuid7(until), "until": until, "page": PAGE}
    return fetch(Page, kind.statement, values)[0]


def _kept_since() -> datetime:
    """By the database's clock: a machine whose own is wrong forgets nothing too early."""
    statement = "SELECT statement_timestamp() - make_interval(days => %(days)s)"
    return fetch(_Moment, statement, {"days": settings.MESSAGES_KEPT_DAYS})[0].at
