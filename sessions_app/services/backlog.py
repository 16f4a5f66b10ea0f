"""How much waits in the whole installation, and for how long: for monitors, which ask several times a minute.

Each statement reads a partial index of what is not done yet, so that it costs what waits and not what has ever been sent.
"""

from typing import NamedTuple

from sessions_app.models import Message
from sessions_app.services.sql import fetch


class UnderWay(NamedTuple):
    sending: int
    uncertain: int


class Deliveries(NamedTuple):
    """Of webhooks. `oldest_s`: since the event that has waited for longest; 0 when none does."""

    waiting: int
    oldest_s: float


class Backlog(NamedTuple):
    queued: dict[Message.Lane, int]
    scheduled: int
    under_way: UnderWay
    oldest_due_s: float
    deliveries: Deliveries


class _Lane(NamedTuple):
    lane: int
    n: int


class _Count(NamedTuple):
    n: int


class _Age(NamedTuple):
    seconds: float


def read() -> Backlog:
    """Raises django.db.Error."""
    return Backlog(queued(), scheduled(), under_way(), oldest_due_s(), deliveries())


def queued() -> dict[Message.Lane, int]:
    """On `message_line`, which has the lane in it."""
    counts = dict(fetch(_Lane, "SELECT lane, count(*) FROM message WHERE status = 'queued' GROUP BY lane", {}))
    return {lane: counts.get(lane.value, 0) for lane in Message.Lane}


def scheduled() -> int:
    """On `message_scheduled`."""
    return fetch(_Count, "SELECT count(*) FROM message WHERE status = 'scheduled'", {})[0].n


def under_way() -> UnderWay:
    """On `message_unsettled`: a few of each session at most, whose rows are read for their status."""
    statement = """
        SELECT count(*) FILTER (WHERE status = 'sending'), count(*) FILTER (WHERE status = 'uncertain')
        FROM message WHERE status IN ('sending', 'uncertain')"""
    return fetch(UnderWay, statement, {})[0]


def oldest_due_s() -> float:
    """For how long the message has been due that has been so for longest, whatever keeps it from going; 0 when none is. It is
    the first entry of `message_due`."""
    statement = """
        SELECT COALESCE(extract(epoch FROM statement_timestamp() - min(not_before)), 0)::float8
        FROM message WHERE status IN ('scheduled', 'queued') AND not_before <= statement_timestamp()"""
    return fetch(_Age, statement, {})[0].seconds


def deliveries() -> Deliveries:
    """On `webhook_delivery_old`."""
    statement = """
        SELECT count(*), GREATEST(0, COALESCE(extract(epoch FROM statement_timestamp() - min(created_at)), 0))::float8
        FROM webhook_delivery WHERE state = 'pending'"""
    return fetch(Deliveries, statement, {})[0]
