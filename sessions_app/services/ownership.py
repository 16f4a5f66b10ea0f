"""Who owns which session: worker leases and session claims.

Every time here is the database's, and that clock may be set: who is who is told by counters alone. A worker is known by its
name; `incarnation` tells one process from the next of the same name. A claim raises the session's `term`, the fencing token that
every later write of the owner carries.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import transaction

from sessions_app.models.base import uuid7
from sessions_app.services.sql import execute, fetch

TAKES_BACK_WITHIN_S = 10  # what its name held before: then anybody may have it

# A session needs an owner while something is left to do for it: to keep it online, to link it, to take it offline, to log it out.
WANTED = """
    CASE s.desired
        WHEN 'online' THEN s.deleted_at IS NULL AND (s.linked_at IS NOT NULL OR s.link_until > clock_timestamp())
        WHEN 'offline' THEN s.linked_at IS NOT NULL AND s.state <> 'stopped'
        ELSE s.linked_at IS NOT NULL
    END"""


class Registration(NamedTuple):
    worker: UUID
    incarnation: int


class Holder(NamedTuple):
    """Who holds a worker's name now."""

    hostname: str
    pid: int | None


class Ahead(NamedTuple):
    """A worker whose last heartbeat lies in the future: the clock was set back since."""

    worker: UUID
    heartbeat_at: datetime


class Renewal(NamedTuple):
    now: datetime
    wanted_sessions: int
    ahead: list[Ahead]


class Claimed(NamedTuple):
    session: UUID
    term: int


class _Count(NamedTuple):
    n: int


class _Capacity(NamedTuple):
    sessions: int


class _Beat(NamedTuple):
    at: datetime


def holder(*, name: str) -> Holder | None:
    """The process that holds this name by a lease that has not run out."""
    found = fetch(
        Holder, "SELECT hostname, pid FROM worker WHERE name = %(name)s AND expires_at > clock_timestamp()", {"name": name}
    )
    return found[0] if found else None


def register(*, name: str, queue: str, hostname: str, pid: int, capacity: int, ttl_s: float) -> Registration:
    """Takes the name, whoever held it before: that process's next renewal finds its incarnation gone, and what it left is taken
    back by claims, under new terms."""
    statement = """
        INSERT INTO worker (id, name, queue, hostname, pid, capacity, draining, bridge_ready, bridge_detail, incarnation,
                            started_at, heartbeat_at, expires_at)
        VALUES (%(id)s, %(name)s, %(queue)s, %(hostname)s, %(pid)s, %(capacity)s, false, false, '', 1,
                clock_timestamp(), clock_timestamp(), clock_timestamp() + make_interval(secs => %(ttl)s))
        ON CONFLICT (name) DO UPDATE SET
            queue = EXCLUDED.queue, hostname = EXCLUDED.hostname, pid = EXCLUDED.pid, capacity = EXCLUDED.capacity,
            draining = false, bridge_ready = false, bridge_detail = '', incarnation = worker.incarnation + 1,
            started_at = EXCLUDED.started_at, heartbeat_at = EXCLUDED.heartbeat_at, expires_at = EXCLUDED.expires_at
        RETURNING id, incarnation"""
    values = {"id": uuid7(), "name": name, "queue": queue, "hostname": hostname, "pid": pid, "capacity": capacity, "ttl": ttl_s}
    return fetch(Registration, statement, values)[0]


def renew(
    *, me: Registration, ttl_s: float, bridge_ready: bool, bridge_detail: str, draining: bool, held: bool = False
) -> Renewal | None:
    """Another `ttl_s` seconds. None: the lease has run out or the name was taken over, and everything owned is lost.

    `held`: by the worker's own steady clock the lease has not run out. Then it is the database's clock that was set, and the
    lease goes on; what somebody has claimed meanwhile has a higher term.
    """
    statement = """
        UPDATE worker SET heartbeat_at = clock_timestamp(), expires_at = clock_timestamp() + make_interval(secs => %(ttl)s),
            bridge_ready = %(ready)s, bridge_detail = left(%(detail)s, 500), draining = %(draining)s
        WHERE id = %(worker)s AND incarnation = %(incarnation)s AND (expires_at > clock_timestamp() OR %(held)s)
        RETURNING heartbeat_at"""
    values = {"ttl": ttl_s, "ready": bridge_ready, "detail": bridge_detail, "draining": draining, "held": held}
    beat = fetch(_Beat, statement, {**values, **me._asdict()})
    return Renewal(beat[0].at, _wanted(), _ahead(me)) if beat else None


def _wanted() -> int:
    return fetch(_Count, f"SELECT count(*) FROM wa_session s WHERE {WANTED}", {})[0].n


def _ahead(me: Registration) -> list[Ahead]:
    statement = "SELECT id, heartbeat_at FROM worker WHERE id <> %(worker)s AND heartbeat_at > clock_timestamp()"
    return fetch(Ahead, statement, {"worker": me.worker})


def others(*, me: Registration) -> list[int]:
    """The capacities of the other workers that are ready to own sessions."""
    statement = """
        SELECT capacity FROM worker
        WHERE id <> %(worker)s AND expires_at > clock_timestamp() AND bridge_ready AND NOT draining"""
    return [row.sessions for row in fetch(_Capacity, statement, {"worker": me.worker})]


def moving() -> int:
    """Sessions that are between two owners, or whose owner is logging them in; not those that have failed to."""
    statement = f"""
        SELECT count(*) FROM wa_session s
        WHERE {WANTED} AND s.linked_at IS NOT NULL AND s.desired = 'online' AND s.failures = 0
          AND s.state IN ('disconnected', 'connecting')"""
    return fetch(_Count, statement, {})[0].n


def claim(*, me: Registration, limit: int, silent: Sequence[Ahead] = (), not_after: datetime | None = None) -> list[Claimed]:
    """Up to `limit` sessions that need an owner and have no living one; those this worker's name held before come first.

    `silent` are workers that have been seen not to beat for a whole lease although their rows say that it goes on. Sends of the
    former owner that were under way become uncertain in the same transaction. After `not_after` nothing is claimed: a clock that
    is later than the caller can explain was set forward, and with it the leases of the living seem to have run out.
    """
    values = {"not_after": not_after, **_silence(silent), **me._asdict()}
    if not fetch(_Any, f"SELECT EXISTS (SELECT 1 {_FREE})", values)[0].is_there:  # nearly always, and asked all the time
        return []
    return _claim(me, limit, silent, values)


@transaction.atomic
def _claim(me: Registration, limit: int, silent: Sequence[Ahead], values: Mapping[str, object]) -> list[Claimed]:
    free = _lock_free(limit, values)
    if not free:
        return []
    claimed = _take(me, free, gone=_bury([one.owner for one in free if one.owner and one.owner != me.worker], silent))
    if claimed:
        _leave_uncertain([one.session for one in claimed])
    return claimed


class _Any(NamedTuple):
    is_there: bool


class _Free(NamedTuple):
    session: UUID
    owner: UUID | None


class _Worker(NamedTuple):
    id: UUID


# The heartbeat is compared: one that has beaten since is alive.
_IS_SILENT = """
    EXISTS (SELECT 1 FROM unnest(%(silent)s::uuid[], %(beats)s::timestamptz[]) AS q(id, at)
            WHERE q.id = w.id AND q.at = w.heartbeat_at)"""


# By a dead process of a living name. The name has the first turn; it may have its share already, or never be ready.
_IS_LEFT_BEHIND = f"""
    (s.owner_incarnation <> w.incarnation
     AND (w.id = %(worker)s OR w.bridge_ready
          OR w.started_at < clock_timestamp() - interval '{TAKES_BACK_WITHIN_S} seconds'))"""


def _silence(silent: Sequence[Ahead]) -> dict[str, list[object]]:
    return {"silent": [one.worker for one in silent], "beats": [one.heartbeat_at for one in silent]}


_FREE = f"""
        FROM wa_session s LEFT JOIN worker w ON w.id = s.owner_id
        WHERE {WANTED}
          AND (w.id IS NULL OR w.expires_at <= clock_timestamp() OR {_IS_SILENT} OR {_IS_LEFT_BEHIND})
          AND EXISTS (SELECT 1 FROM worker me WHERE me.id = %(worker)s AND me.incarnation = %(incarnation)s
                      AND me.expires_at > clock_timestamp() AND NOT me.draining)
          AND clock_timestamp() <= COALESCE(%(not_after)s::timestamptz, 'infinity')"""


def _lock_free(limit: int, values: Mapping[str, object]) -> list[_Free]:
    """Candidates. A claim that committed between this statement's snapshot and its lock may be among them, since a row that
    changed is judged anew without its join: `_take` looks again, in a later snapshot, at rows that cannot change any more."""
    statement = f"""
        SELECT s.id, s.owner_id {_FREE}
        ORDER BY s.owner_id = %(worker)s DESC NULLS LAST
        LIMIT %(limit)s
        FOR NO KEY UPDATE OF s SKIP LOCKED"""
    return fetch(_Free, statement, {"limit": limit, **values})


def _bury(owners: Sequence[UUID], silent: Sequence[Ahead]) -> list[UUID]:
    """Those whose lease has run out. Writing to the row makes a renewal that is just under way look again, and fail."""
    statement = f"""
        UPDATE worker SET bridge_ready = false, bridge_detail = 'its lease ran out',
            expires_at = LEAST(expires_at, clock_timestamp())
        WHERE id IN (SELECT w.id FROM worker w
                     WHERE w.id = ANY(%(owners)s) AND (w.expires_at <= clock_timestamp() OR {_IS_SILENT})
                     FOR NO KEY UPDATE SKIP LOCKED)
        RETURNING id"""
    return [row.id for row in fetch(_Worker, statement, {"owners": list(set(owners)), **_silence(silent)})] if owners else []


def _take(me: Registration, free: Sequence[_Free], *, gone: Sequence[UUID]) -> list[Claimed]:
    statement = """
        WITH claimed AS (
            UPDATE wa_session s SET owner_id = %(worker)s, owner_incarnation = %(incarnation)s, term = s.term + 1,
                claimed_at = clock_timestamp(),
                state = CASE WHEN s.state IN ('connected', 'connecting') THEN 'disconnected'
                             WHEN s.state = 'linking' THEN 'unlinked' ELSE s.state END,
                state_changed_at = CASE WHEN s.state IN ('connected', 'connecting', 'linking') THEN clock_timestamp()
                                        ELSE s.state_changed_at END,
                qr = '', qr_generated_at = NULL, qr_expires_at = NULL, pairing_code = '', updated_at = clock_timestamp()
            WHERE s.id = ANY(%(sessions)s)
              AND (s.owner_id IS NULL OR s.owner_id = ANY(%(gone)s)
                   OR s.owner_incarnation <> (SELECT w.incarnation FROM worker w WHERE w.id = s.owner_id))
            RETURNING s.id, s.term
        ), log AS (
            INSERT INTO wa_session_event (session_id, at, kind, detail)
            SELECT c.id, clock_timestamp(), 'claimed', jsonb_build_object('worker', w.name, 'term', c.term)
            FROM claimed c, worker w WHERE w.id = %(worker)s
        )
        SELECT id, term FROM claimed"""
    return fetch(Claimed, statement, {"sessions": [one.session for one in free], "gone": list(gone), **me._asdict()})


DOUBT = """status = 'uncertain', status_at = clock_timestamp(), not_before = LEAST(m.not_before, clock_timestamp()),
                error_code = 'owner_lost', error_detail = 'Its worker stopped before WhatsApp confirmed it.'"""


def told_of_doubt(doubted: str) -> str:
    return f"""INSERT INTO message_event (message_id, at, status, detail)
        SELECT id, clock_timestamp(), 'uncertain', '{{"reason": "owner_lost"}}' FROM {doubted}"""


def _leave_uncertain(sessions: Sequence[UUID]) -> None:
    """The former owner died, or was cut off, with these handed over: nobody knows whether they reached WhatsApp. Their receipts
    may be coming in at this moment: they are locked in the order in which those lock them."""
    statement = f"""
        WITH locked AS MATERIALIZED (
            SELECT id FROM message WHERE session_id = ANY(%(sessions)s) AND status = 'sending' ORDER BY id FOR NO KEY UPDATE
        ), left_over AS (
            UPDATE message m SET {DOUBT} WHERE id IN (SELECT id FROM locked) AND status = 'sending' RETURNING id
        )
        {told_of_doubt("left_over")}"""
    execute(statement, {"sessions": list(sessions)})


def release(*, me: Registration, owned: Sequence[Claimed], reason: str) -> int:
    """Gives sessions up; whoever needs them may claim them at once. Answers how many were still owned."""
    statement = """
        WITH released AS (
            UPDATE wa_session s SET owner_id = NULL, updated_at = clock_timestamp(),
                state = CASE WHEN s.state IN ('connected', 'connecting') THEN 'disconnected'
                             WHEN s.state = 'linking' THEN 'unlinked' ELSE s.state END,
                state_reason = CASE WHEN s.state IN ('connected', 'connecting') THEN 'released' ELSE s.state_reason END,
                state_detail = CASE WHEN s.state IN ('connected', 'connecting') THEN 'It moves to another worker.'
                                    ELSE s.state_detail END,
                state_changed_at = CASE WHEN s.state IN ('connected', 'connecting', 'linking') THEN clock_timestamp()
                                        ELSE s.state_changed_at END,
                qr = '', qr_generated_at = NULL, qr_expires_at = NULL, pairing_code = ''
            FROM unnest(%(sessions)s::uuid[], %(terms)s::bigint[]) AS mine(id, term)
            WHERE s.id = mine.id AND s.term = mine.term AND s.owner_id = %(worker)s
            RETURNING s.id, s.term
        )
        INSERT INTO wa_session_event (session_id, at, kind, detail)
        SELECT id, clock_timestamp(), 'released', jsonb_build_object('term', term, 'reason', %(reason)s::text) FROM released"""
    values = {"sessions": [one.session for one in owned], "terms": [one.term for one in owned], "reason": reason}
    return execute(statement, {"worker": me.worker, **values})


def leave(*, me: Registration) -> None:
    """The worker is gone, and says so: its lease ends now. Its row stays, so that its name keeps its history."""
    statement = """
        UPDATE worker SET expires_at = clock_timestamp(), draining = true, bridge_ready = false, bridge_detail = 'stopped'
        WHERE id = %(worker)s AND incarnation = %(incarnation)s"""
    execute(statement, me._asdict())
