"""How much sessions have sent, by quarters of an hour and lane: for owners that take them over, for pages, and for forgetting."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sessions_app.services.sql import execute, fetch

HOURS = 26  # the longest day there is has 25, and a quarter may have begun before it
KEPT_DAYS = 40
BATCH = 50_000


class Quarter(NamedTuple):
    starts_at: datetime
    lane: int
    sent: int


class _Row(NamedTuple):
    session: UUID
    starts_at: datetime
    lane: int
    sent: int


def recent(*, sessions: Sequence[UUID]) -> dict[UUID, list[Quarter]]:
    """Of the last day and a little more, oldest first."""
    statement = """
        SELECT session_id, quarter, lane, sent FROM send_tally
        WHERE session_id = ANY(%(sessions)s) AND quarter > statement_timestamp() - make_interval(hours => %(hours)s)
        ORDER BY session_id, quarter"""
    found: dict[UUID, list[Quarter]] = defaultdict(list)
    for row in fetch(_Row, statement, {"sessions": list(sessions), "hours": HOURS}):
        found[row.session].append(Quarter(row.starts_at, row.lane, row.sent))
    return found


def forget() -> int:
    statement = """
        DELETE FROM send_tally WHERE id IN (
            SELECT id FROM send_tally WHERE quarter < statement_timestamp() - make_interval(days => %(days)s) LIMIT %(batch)s)"""
    return execute(statement, {"days": KEPT_DAYS, "batch": BATCH})
