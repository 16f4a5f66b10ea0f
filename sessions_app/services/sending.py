"""What owners do to messages: claim the next one of each session that is due, and settle what came of it.

Both are one statement for all sessions of a tick, and both carry the owner and each session's term, so that a former owner
claims nothing and settles nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import transaction

from sessions_app.services.sql import execute, fetch

RESEND_FOR_HOURS = 24


class Claim(NamedTuple):
    """One message handed to its owner: committed as `sending` before anybody sees this."""

    message: UUID
    session: UUID
    term: int
    wa_id: str
    to_phone: str
    lid: str
    address: str
    body: str
    expires_at: datetime | None
    attempt: int
    resend: bool  # an earlier attempt had no clear outcome


@dataclass(frozen=True, slots=True)
class Settlement:
    """What came of one claim. `sent_at` is set when it went over the wire: the session's pace counts from then."""

    message: UUID
    session: UUID
    term: int
    status: str
    at: datetime
    code: str = ""
    detail: str = ""
    address: str = ""
    not_before: datetime | None = None  # holds this message
    hold_until: datetime | None = None  # shown as the reason for waiting
    sent_at: datetime | None = None
    next_send_at: datetime | None = None  # holds the session
    delay_ms: int = 0  # the pause drawn between those two


class _Session(NamedTuple):
    id: UUID


# The row lock on the session keeps a take-over out until the claim has committed. An unanswered message goes before all
# others of its session, and while one is under way, or waits for its resend, nothing else goes. `k.phone <> ''` is the index's
# own condition: without it all contacts of the session are read.
CLAIM = """
    WITH due AS (
        SELECT s.id, s.term, s.next_send_at, s.next_delay_ms, r.resend_uncertain
        FROM unnest(%(sessions)s::uuid[], %(terms)s::bigint[]) AS d(id, term)
        JOIN wa_session s ON s.id = d.id AND s.term = d.term AND s.owner_id = %(worker)s AND s.state = 'connected'
        JOIN restaurant r ON r.id = s.restaurant_id AND r.is_active
        FOR NO KEY UPDATE OF s
    ), pick AS (
        SELECT due.*, COALESCE(u.id, q.id) AS message, u.id IS NOT NULL AS resend
        FROM due
        LEFT JOIN LATERAL (
            SELECT m.id, m.status, m.not_before FROM message m
            WHERE m.session_id = due.id AND m.status IN ('sending', 'uncertain')
              AND (m.status = 'sending' OR due.resend_uncertain)
            ORDER BY m.seq LIMIT 1
        ) u ON true
        LEFT JOIN LATERAL (
            SELECT m.id FROM message m
            WHERE u.id IS NULL AND m.session_id = due.id AND m.status = 'queued' AND m.not_before <= clock_timestamp()
              AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp())
            ORDER BY m.priority, m.seq LIMIT 1
        ) q ON true
        WHERE q.id IS NOT NULL OR (u.status = 'uncertain' AND u.not_before <= clock_timestamp())
    ), claimed AS (
        UPDATE message m SET status = 'sending', status_at = clock_timestamp(), attempts = LEAST(m.attempts + 1, 32767),
            claimed_term = pick.term, sending_at = COALESCE(m.sending_at, clock_timestamp()),
            delay_ms = COALESCE(m.delay_ms, CASE WHEN m.not_before < pick.next_send_at THEN pick.next_delay_ms ELSE 0 END),
            hold_reason = '', hold_until = NULL, error_code = '', error_detail = ''
        FROM pick WHERE m.id = pick.message AND m.status IN ('queued', 'uncertain')
        RETURNING m.id, m.session_id, pick.term, m.wa_id, m.to_phone, m.address, m.body, m.expires_at, m.attempts, pick.resend
    ), line AS (
        INSERT INTO message_event (message_id, at, status, detail)
        SELECT id, clock_timestamp(), 'sending', jsonb_build_object('attempt', attempts, 'resend', resend) FROM claimed
    )
    SELECT c.id, c.session_id, c.term, c.wa_id, c.to_phone, COALESCE(k.lid, ''), c.address, c.body, c.expires_at, c.attempts,
           c.resend
    FROM claimed c LEFT JOIN contact k ON k.session_id = c.session_id AND k.phone = c.to_phone AND k.phone <> ''"""

# A receipt may have come before this: then the status stays what the receipt made it, and only what is missing is filled in.
_SETTLE = """
    WITH result AS (
        SELECT * FROM unnest(%(message)s::uuid[], %(session)s::uuid[], %(term)s::bigint[], %(status)s::text[],
                             %(at)s::timestamptz[], %(code)s::text[],
                             %(detail)s::text[], %(address)s::text[], %(not_before)s::timestamptz[],
                             %(hold_until)s::timestamptz[], %(sent_at)s::timestamptz[], %(next_send_at)s::timestamptz[],
                             %(delay_ms)s::int[])
            AS t(message, session, term, status, at, code, detail, address, not_before, hold_until, sent_at, next_send_at,
                 delay_ms)
    ), own AS (
        SELECT s.id FROM wa_session s JOIN result t ON s.id = t.session AND s.term = t.term AND s.owner_id = %(worker)s
        FOR NO KEY UPDATE OF s
    ), settled AS (
        UPDATE message m SET
            status = CASE WHEN m.status = 'sending' THEN t.status ELSE m.status END,
            status_at = CASE WHEN m.status = 'sending' THEN t.at ELSE m.status_at END,
            sent_at = CASE WHEN t.status = 'sent' THEN COALESCE(m.sent_at, LEAST(t.at, m.delivered_at)) ELSE m.sent_at END,
            address = CASE WHEN m.address = '' THEN left(t.address, 80) ELSE m.address END,
            not_before = CASE WHEN m.status = 'sending' THEN COALESCE(t.not_before, m.not_before) ELSE m.not_before END,
            hold_reason = CASE WHEN m.status = 'sending' AND t.hold_until IS NOT NULL THEN left(t.code, 40) ELSE '' END,
            hold_until = CASE WHEN m.status = 'sending' THEN t.hold_until END,
            error_code = CASE WHEN m.status = 'sending' THEN left(t.code, 40) ELSE m.error_code END,
            error_detail = CASE WHEN m.status = 'sending' THEN left(t.detail, 300) ELSE m.error_detail END
        FROM result t JOIN own ON own.id = t.session
        WHERE m.id = t.message AND m.claimed_term = t.term
          AND (m.status = 'sending' OR (t.status = 'sent' AND m.status IN ('delivered', 'read') AND m.sent_at IS NULL))
        RETURNING m.id, t.status, t.at, t.code
    ), line AS (
        INSERT INTO message_event (message_id, at, status, detail)
        SELECT id, at, status, CASE WHEN code = '' THEN '{}'::jsonb ELSE jsonb_build_object('reason', code) END FROM settled
    )
    UPDATE wa_session s SET
        last_sent_at = GREATEST(s.last_sent_at, t.sent_at), next_send_at = GREATEST(s.next_send_at, t.next_send_at),
        next_delay_ms = CASE WHEN t.sent_at IS NULL THEN s.next_delay_ms ELSE t.delay_ms END
    FROM result t JOIN own ON own.id = t.session WHERE s.id = t.session"""


@transaction.atomic
def tick(*, worker: UUID, settlements: Sequence[Settlement], due: Sequence[tuple[UUID, int]]) -> list[Claim]:
    """Settles, then claims the next message of each due session (session, term). One commit for both.

    Safe to repeat with the same settlements when nobody knows whether the commit went through.
    """
    if settlements:
        _settle(worker, settlements)
    if not due:
        return []
    values = {"worker": worker, "sessions": [session for session, _ in due], "terms": [term for _, term in due]}
    return fetch(Claim, CLAIM, values)


def _settle(worker: UUID, settlements: Sequence[Settlement]) -> None:
    values = {name: [getattr(one, name) for one in settlements] for name in Settlement.__slots__}
    execute(_SETTLE, {"worker": worker, **values})


def ready(*, worker: UUID, sessions: Sequence[UUID]) -> list[UUID]:
    """Those of the worker's sessions that have a message to send now."""
    statement = """
        SELECT s.id FROM wa_session s JOIN restaurant r ON r.id = s.restaurant_id AND r.is_active
        WHERE s.id = ANY(%(sessions)s) AND s.owner_id = %(worker)s AND (
            EXISTS (SELECT 1 FROM message m
                    WHERE m.session_id = s.id AND m.status = 'queued' AND m.not_before <= clock_timestamp()
                      AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp()))
            OR r.resend_uncertain AND EXISTS (
                SELECT 1 FROM message m
                WHERE m.session_id = s.id AND m.status = 'uncertain' AND m.not_before <= clock_timestamp()))"""
    return [row.id for row in fetch(_Session, statement, {"worker": worker, "sessions": list(sessions)})]


def give_back(*, worker: UUID, sessions: Sequence[tuple[UUID, int]]) -> int:
    """After a tick whose commit is in doubt: what these sessions claimed without anybody having heard of it.

    This attempt surely did not reach the bridge: the message is queued again, or uncertain as before when this was a resend.
    """
    statement = """
        WITH lost AS (
            SELECT m.id, CASE WHEN (SELECT (e.detail->>'resend')::bool FROM message_event e
                                    WHERE e.message_id = m.id AND e.status = 'sending' ORDER BY e.id DESC LIMIT 1)
                              THEN 'uncertain' ELSE 'queued' END AS status
            FROM unnest(%(sessions)s::uuid[], %(terms)s::bigint[]) AS d(id, term)
            JOIN wa_session s ON s.id = d.id AND s.term = d.term AND s.owner_id = %(worker)s
            JOIN message m ON m.session_id = s.id AND m.status = 'sending' AND m.claimed_term = s.term
            FOR NO KEY UPDATE OF m
        ), back AS (
            UPDATE message m SET status = lost.status, status_at = clock_timestamp(),
                not_before = LEAST(m.not_before, clock_timestamp())
            FROM lost WHERE m.id = lost.id RETURNING m.id, m.status
        )
        INSERT INTO message_event (message_id, at, status, detail)
        SELECT id, clock_timestamp(), status, '{"reason": "claim_in_doubt"}' FROM back"""
    values = {"worker": worker, "sessions": [session for session, _ in sessions], "terms": [term for _, term in sessions]}
    return execute(statement, values)
