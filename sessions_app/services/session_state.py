"""What owners read and write about a session: its wishes, and the truth of its connection."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from psycopg.types.json import Jsonb

from sessions_app.policy.signals import Event
from sessions_app.services import numbers, standing, succession
from sessions_app.services.rules import COLUMNS, Chosen
from sessions_app.services.sql import execute, fetch
from sessions_app.services.succession import Linked

RESTRICTION_DAYS = 30
RESTRICTIONS = ("banned_temporarily", "forbidden", "locked")


class SessionRow(NamedTuple):
    """A session as its owner needs it: wishes, truth, pace."""

    id: UUID
    term: int
    restaurant: UUID
    desired: Literal["online", "offline", "unlinked"]
    link_until: datetime | None
    link_phone: str
    restart_wish: int
    restart_done: int
    state: str
    state_reason: str
    state_detail: str
    retry_at: datetime | None
    failures: int
    linked_at: datetime | None
    phone: str
    lid: str
    push_name: str
    connected_at: datetime | None
    last_sent_at: datetime | None
    next_send_at: datetime | None
    next_delay_ms: int
    cold_sent_at: datetime | None
    cold_delay_ms: int
    first_linked_at: datetime | None
    declared_days: int | None
    declared_on: date | None
    standing: str  # JSON: `standing.parse`
    crashes: int
    bridge_deaths: int
    chosen: Chosen  # by its restaurant


_OWN_COLUMNS = len(SessionRow._fields) - 1

# Not the steady sessions, the many: connected, and nothing wished for.
_RESTLESS = """NOT (s.state = 'connected' AND s.desired = 'online' AND s.restart_wish = s.restart_done
                    AND s.link_until IS NULL AND s.deleted_at IS NULL)"""


# Not what the name held before its process was started anew: that has to be claimed first, under a new term, so that what was
# under way there becomes uncertain.
_OWN = "w.id = s.owner_id AND s.owner_incarnation = w.incarnation"


def load(*, worker: UUID, sessions: Sequence[UUID] | None = None, restless: bool = False) -> list[SessionRow]:
    """The worker's sessions: all, or these, or `restless`: these and all for which something may be left to do."""
    which = "true" if sessions is None else f"(s.id = ANY(%(sessions)s) OR {_RESTLESS if restless else 'false'})"
    statement = f"""
        SELECT s.id, s.term, s.restaurant_id, CASE WHEN s.deleted_at IS NULL THEN s.desired ELSE 'unlinked' END, s.link_until,
               s.link_phone, s.restart_wish, s.restart_done, s.state, s.state_reason, s.state_detail, s.retry_at, s.failures,
               s.linked_at, s.phone, s.lid, s.push_name, s.connected_at, s.last_sent_at, s.next_send_at, s.next_delay_ms,
               s.cold_sent_at, s.cold_delay_ms, s.first_linked_at, s.declared_days, s.declared_on, s.standing::text,
               s.crashes, s.bridge_deaths,
               {COLUMNS}
        FROM wa_session s JOIN restaurant r ON r.id = s.restaurant_id JOIN worker w ON {_OWN}
        WHERE s.owner_id = %(worker)s AND {which}"""
    with connection.cursor() as cursor:
        cursor.execute(statement, {"worker": worker, "sessions": list(sessions or [])})
        return [SessionRow._make([*line[:_OWN_COLUMNS], Chosen._make(line[_OWN_COLUMNS:])]) for line in cursor.fetchall()]


class _Count(NamedTuple):
    n: int


def count(*, worker: UUID) -> int:
    """How many sessions the worker owns: fewer than it believes to own means that some were taken from it."""
    statement = f"SELECT count(*) FROM wa_session s JOIN worker w ON {_OWN} WHERE s.owner_id = %(worker)s"
    return fetch(_Count, statement, {"worker": worker})[0].n


@dataclass(slots=True)
class Truth:
    """What is true of a session's connection, whole: the owner is its only writer."""

    session: UUID
    term: int
    state: str
    reason: str = ""
    detail: str = ""
    retry_at: datetime | None = None
    failures: int = 0
    linked: bool = False
    phone: str = ""
    lid: str = ""
    push_name: str = ""
    qr: str = ""
    qr_generated_at: datetime | None = None
    qr_expires_at: datetime | None = None  # of the code that is shown, whether QR or pairing code
    pairing_code: str = ""
    connected_at: datetime | None = None
    restart_done: int = 0
    link_ended: datetime | None = None  # the wish to link that is over: this `link_until`, not a later one
    crashes: int = 0
    bridge_deaths: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)  # lines for the activity log
    facts: list[Event] = field(default_factory=list)  # what WhatsApp has said of the number


class _Known(NamedTuple):
    id: UUID


class _Written(NamedTuple):
    id: UUID
    replaced: bool


# A log-out leaves the history; a number that WhatsApp changes under the same account keeps its LID.
_REPLACED = """t.linked AND t.phone <> '' AND before.history_phone NOT IN ('', left(t.phone, 16))
                AND (t.lid = '' OR before.lid <> left(t.lid, 40))"""


class Outcome(NamedTuple):
    """The sessions that are in neither have a new owner, and nothing of theirs was changed."""

    written: set[UUID]
    unready: set[UUID]  # another number is linked, and there is more to do for it than one call does: to be written again


def write_truths(*, worker: UUID, truths: Sequence[Truth]) -> Outcome:
    """Writes in one statement those that are ready, and logs what is worth a line. A call is short, however much waits in a
    session: what else the worker writes waits behind it."""
    linked = [truth for truth in truths if truth.linked and truth.phone]
    replaced = _about_to_be_replaced(worker, linked)
    unready = numbers.make_room(sessions=replaced) if replaced else set()
    unready |= succession.make_room(worker=worker, linked=[Linked(one.session, one.term, one.phone[:16]) for one in linked])
    ready = [truth for truth in truths if truth.session not in unready]
    return Outcome(_write(worker, ready) if ready else set(), unready)


def _about_to_be_replaced(worker: UUID, truths: Sequence[Truth]) -> list[UUID]:
    statement = f"""
        SELECT before.id
        FROM unnest(%(session)s::uuid[], %(term)s::bigint[], %(linked)s::bool[], %(phone)s::text[], %(lid)s::text[])
             AS t(session, term, linked, phone, lid)
        JOIN wa_session before ON before.id = t.session AND before.term = t.term AND before.owner_id = %(worker)s
        WHERE {_REPLACED}"""
    values = {name: [getattr(truth, name) for truth in truths] for name in ("session", "term", "linked", "phone", "lid")}
    return [row.id for row in fetch(_Known, statement, {"worker": worker, **values})] if truths else []


@transaction.atomic
def _write(worker: UUID, truths: Sequence[Truth]) -> set[UUID]:
    statement = f"""
        UPDATE wa_session s SET
            state = t.state, state_reason = left(t.reason, 40), state_detail = left(t.detail, 300),
            state_changed_at = CASE WHEN s.state IS DISTINCT FROM t.state THEN clock_timestamp() ELSE s.state_changed_at END,
            retry_at = t.retry_at, failures = t.failures,
            linked_at = CASE WHEN t.linked THEN COALESCE(s.linked_at, clock_timestamp()) END,
            first_linked_at = CASE WHEN t.linked THEN COALESCE(s.first_linked_at, clock_timestamp()) ELSE s.first_linked_at END,
            history_phone = CASE WHEN t.linked AND t.phone <> '' THEN left(t.phone, 16) ELSE s.history_phone END,
            phone = left(t.phone, 16), lid = left(t.lid, 40), push_name = left(t.push_name, 120),
            qr = t.qr, qr_generated_at = t.qr_generated_at, qr_expires_at = t.qr_expires_at,
            pairing_code = left(t.pairing_code, 16),
            connected_at = t.connected_at, restart_done = GREATEST(s.restart_done, t.restart_done),
            link_until = CASE WHEN s.link_until <= t.link_ended THEN NULL ELSE s.link_until END,
            link_phone = CASE WHEN s.link_until <= t.link_ended THEN '' ELSE s.link_phone END,
            crashes = t.crashes, bridge_deaths = t.bridge_deaths,
            updated_at = clock_timestamp()
        FROM unnest(%(session)s::uuid[], %(term)s::bigint[], %(state)s::text[], %(reason)s::text[], %(detail)s::text[],
                    %(retry_at)s::timestamptz[], %(failures)s::int[], %(linked)s::bool[], %(phone)s::text[], %(lid)s::text[],
                    %(push_name)s::text[], %(qr)s::text[], %(qr_generated_at)s::timestamptz[], %(qr_expires_at)s::timestamptz[],
                    %(pairing_code)s::text[], %(connected_at)s::timestamptz[], %(restart_done)s::int[],
                    %(link_ended)s::timestamptz[], %(crashes)s::int[], %(bridge_deaths)s::int[])
             AS t(session, term, state, reason, detail, retry_at, failures, linked, phone, lid, push_name, qr, qr_generated_at,
                  qr_expires_at, pairing_code, connected_at, restart_done, link_ended, crashes, bridge_deaths)
        JOIN wa_session before ON before.id = t.session
        WHERE s.id = t.session AND s.term = t.term AND s.owner_id = %(worker)s
        RETURNING s.id, {_REPLACED}"""
    columns = [name for name in Truth.__slots__ if name not in ("events", "facts")]
    values = {name: [getattr(truth, name) for truth in truths] for name in columns}
    rows = fetch(_Written, statement, {"worker": worker, **values})
    written = {row.id for row in rows}
    if replaced := [row.id for row in rows if row.replaced]:
        numbers.begin_anew(sessions=replaced)
    told = [truth for truth in truths if truth.session in written]
    lines = [(truth.session, event) for truth in told for event in truth.events]
    _note_restrictions(lines)
    _log(lines)
    if facts := [(truth.session, fact) for truth in told for fact in truth.facts]:
        standing.note(facts=facts)
    return written


def _note_restrictions(lines: Sequence[tuple[UUID, dict[str, Any]]]) -> None:
    """A log-out's line says whether a restriction came first."""
    out = [(session, event) for session, event in lines if event.get("reason") == "logged_out"]
    restricted = _restricted([session for session, _ in out]) if out else set()
    for _, event in (line for line in out if line[0] in restricted):
        event["restricted_before"] = True


def _log(lines: Sequence[tuple[UUID, dict[str, Any]]]) -> None:
    if not lines:
        return
    statement = """
        INSERT INTO wa_session_event (session_id, at, kind, detail)
        SELECT session, clock_timestamp(), 'state', detail
        FROM unnest(%(sessions)s::uuid[], %(details)s::jsonb[]) AS e(session, detail)"""
    execute(statement, {"sessions": [session for session, _ in lines], "details": [Jsonb(detail) for _, detail in lines]})


def _restricted(sessions: Sequence[UUID]) -> set[UUID]:
    """Those that WhatsApp had restricted, or banned for a while, in the days before: a log-out may be what came of it."""
    statement = """
        SELECT DISTINCT session_id FROM wa_session_event
        WHERE session_id = ANY(%(sessions)s) AND at > statement_timestamp() - make_interval(days => %(days)s)
          AND (kind = 'number_restricted' AND detail->'active' = 'true' OR detail->>'reason' = ANY(%(reasons)s))"""
    values = {"sessions": list(sessions), "days": RESTRICTION_DAYS, "reasons": list(RESTRICTIONS)}
    return {row.id for row in fetch(_Known, statement, values)}
