"""What the claim of a tick costs the database: the very statement of the drain, explained, and rolled back."""

import json
import statistics
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from restaurant_wa.bench.installation import Installation
from sessions_app.services.claims import Due, statement

SESSIONS = 20  # in one claim
REPEATS = 11
_OWN = """
    WITH w AS (
        INSERT INTO worker (id, name, queue, hostname, pid, capacity, draining, bridge_ready, bridge_detail, started_at,
                            heartbeat_at, expires_at)
        VALUES (uuidv7(), 'explain@here', '', '', 0, 1, false, true, '', now(), now(), now() + interval '1 minute') RETURNING id
    )
    UPDATE wa_session s SET owner_id = w.id, term = s.term + 1, state = 'connected' FROM w
    WHERE s.name::int < %s RETURNING w.id, s.id, s.term"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Medians. `blocks` of 8 kB were looked at."""

    ms: float
    planning_ms: float
    blocks: int
    plan: str


def measure(house: Installation) -> Cost:
    """The first sessions' next messages, claimed as if they were due at once."""
    with psycopg.connect(house.lab.database, connect_timeout=5) as connection:
        plans = [_explain(connection, "FORMAT JSON")[0][0] for _ in range(REPEATS)]
        lines = _explain(connection, "FORMAT TEXT")
    told = [plan if isinstance(plan, dict) else json.loads(plan)[0] for [plan] in plans]
    return Cost(
        ms=statistics.median(one["Execution Time"] for one in told),
        planning_ms=statistics.median(one["Planning Time"] for one in told),
        blocks=int(statistics.median(_blocks(one["Plan"]) for one in told)),
        plan="\n".join(line for (line,) in lines),
    )


def _explain(connection: "psycopg.Connection[tuple[Any, ...]]", how: str) -> list[tuple[Any, ...]]:
    """In a transaction of its own, which leaves nothing behind. ClientCursor: with its values in the text, as Django sends it."""
    with connection.transaction(force_rollback=True), psycopg.ClientCursor(connection) as cursor:
        owned: list[tuple[UUID, UUID, int]] = connection.execute(_OWN, [SESSIONS]).fetchall()
        claim, values = statement(worker=owned[0][0], due=[Due(session, term) for _, session, term in owned])
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, {how}) {claim}".encode(), values)
        return cursor.fetchall()


def _blocks(plan: dict[str, Any]) -> int:
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
