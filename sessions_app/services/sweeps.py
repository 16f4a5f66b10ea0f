"""What passes by itself: scheduled messages come due, old ones expire, QR codes end, records are forgotten.

Every sweep is one conditional statement, so that running it twice, or twice at once, does no harm; what may be due in great
numbers goes in bounded batches.
"""

from time import monotonic
from typing import NamedTuple
from uuid import UUID

from sessions_app.policy.reactions import NOT_SCANNED
from sessions_app.policy.retry import EXPIRED, UNCONFIRMED
from sessions_app.services.claims import RESEND_FOR_HOURS
from sessions_app.services.ownership import DOUBT, WANTED, told_of_doubt
from sessions_app.services.sql import execute, fetch

BATCH = 1_000
IDEMPOTENCY_DAYS = 7
WORKER_DAYS = 7
WAKE_DUE = "wake_due"  # beat asks a default worker for it every 2 s: it stands for all that is done so
OVERDUE_S = 30.0
RELEASE_FOR_S = 1.5  # in one sweep, then the rest is left to the next


# By a living process.
_UNOWNED = """NOT EXISTS (SELECT 1 FROM worker w WHERE w.id = s.owner_id AND w.incarnation = s.owner_incarnation
                              AND w.expires_at > statement_timestamp())"""


class _Session(NamedTuple):
    id: UUID


class _Released(NamedTuple):
    session: UUID
    messages: int


class _Age(NamedTuple):
    seconds: float


def note(name: str) -> None:
    """This sweep has just been made."""
    statement = """
        INSERT INTO sweep (name, at) VALUES (%(name)s, clock_timestamp()) ON CONFLICT (name) DO UPDATE SET at = EXCLUDED.at"""
    execute(statement, {"name": name})


def age(name: str = WAKE_DUE) -> float | None:
    """Seconds since this sweep was last made, by whichever process; None before the first time."""
    statement = """
        SELECT round(GREATEST(0, extract(epoch FROM clock_timestamp() - at)), 1)::float8 FROM sweep WHERE name = %(name)s"""
    found = fetch(_Age, statement, {"name": name})
    return found[0].seconds if found else None


def stand_still(age: float | None) -> bool:
    """Whether nobody makes sweeps. Never is too long ago, too: beat may have been forgotten."""
    return age is None or age > OVERDUE_S


def release_scheduled() -> list[UUID]:
    """`scheduled → queued` for messages whose time has come, a batch after the other while there is time: a campaign is scheduled
    for one moment. Answers their sessions."""
    sessions: set[UUID] = set()
    ends_at = monotonic() + RELEASE_FOR_S
    while released := _release_batch():
        sessions.update(one.session for one in released)
        if sum(one.messages for one in released) < BATCH or monotonic() >= ends_at:
            break
    return list(sessions)


def _release_batch() -> list[_Released]:
    statement = """
        WITH due AS (
            SELECT id FROM message WHERE status = 'scheduled' AND not_before <= statement_timestamp()
            ORDER BY not_before LIMIT %(batch)s FOR UPDATE SKIP LOCKED
        ), queued AS (
            UPDATE message m SET status = 'queued', status_at = clock_timestamp(), hold_reason = '', hold_until = NULL
            FROM due WHERE m.id = due.id RETURNING m.id, m.session_id
        ), line AS (
            INSERT INTO message_event (message_id, at, status, detail) SELECT id, clock_timestamp(), 'queued', '{}' FROM queued
        )
        SELECT session_id, count(*) FROM queued GROUP BY session_id"""
    return fetch(_Released, statement, {"batch": BATCH})


def overlooked() -> list[UUID]:
    """Connected sessions with something that came due seconds ago and could have gone: a wake-up was lost, and their owner has
    not looked. What has waited for longer than that policy holds, or its owner has seen."""
    statement = """
        SELECT DISTINCT s.id FROM message m
        JOIN wa_session s ON s.id = m.session_id AND s.state = 'connected' AND s.desired = 'online'
            AND COALESCE(s.next_send_at, '-infinity') < statement_timestamp() - interval '5 seconds'
        JOIN worker w ON w.id = s.owner_id AND w.expires_at > statement_timestamp()
        WHERE m.status = 'queued' AND m.not_before > statement_timestamp() - interval '30 seconds'
          AND m.not_before < statement_timestamp() - interval '5 seconds'
          AND (m.expires_at IS NULL OR m.expires_at > statement_timestamp())
          AND NOT EXISTS (SELECT 1 FROM message u WHERE u.session_id = s.id AND u.status IN ('sending', 'uncertain'))
        LIMIT %(batch)s"""
    return [row.id for row in fetch(_Session, statement, {"batch": BATCH})]


def expire_messages() -> int:
    """`scheduled | queued → expired` for messages that have become too old to be sent."""
    statement = """
        WITH old AS (
            SELECT id FROM message
            WHERE status IN ('scheduled', 'queued') AND expires_at IS NOT NULL AND expires_at <= statement_timestamp()
            ORDER BY expires_at LIMIT %(batch)s FOR UPDATE SKIP LOCKED
        ), expired AS (
            UPDATE message m SET status = 'expired', status_at = clock_timestamp(), hold_reason = '', hold_until = NULL,
                error_code = 'expired', error_detail = %(why)s
            FROM old WHERE m.id = old.id RETURNING m.id
        )
        INSERT INTO message_event (message_id, at, status, detail)
        SELECT id, clock_timestamp(), 'expired', '{}' FROM expired"""
    return execute(statement, {"batch": BATCH, "why": EXPIRED})


def cancel_left_behind() -> int:
    """`queued → canceled` for what came back to the queue of a session that was deleted meanwhile: no living worker owns it."""
    statement = f"""
        WITH left_over AS (
            SELECT m.id FROM wa_session s JOIN message m ON m.session_id = s.id AND m.status = 'queued'
            WHERE s.deleted_at IS NOT NULL AND {_UNOWNED}
            LIMIT %(batch)s FOR UPDATE OF m SKIP LOCKED
        ), canceled AS (
            UPDATE message m SET status = 'canceled', status_at = clock_timestamp(), hold_reason = '', hold_until = NULL
            FROM left_over WHERE m.id = left_over.id RETURNING m.id
        )
        INSERT INTO message_event (message_id, at, status, detail)
        SELECT id, clock_timestamp(), 'canceled', '{{"reason": "session_deleted"}}' FROM canceled"""
    return execute(statement, {"batch": BATCH})


def doubt_left_behind() -> int:
    """`sending → uncertain` for what was under way in a session that has no living owner, and gets none: a next owner would do it
    with its claim (`ownership`). The session is locked as well, or one might claim it meanwhile. The index of what is under way,
    or waits for an answer, is all that is read."""
    statement = f"""
        WITH left_over AS (
            SELECT m.id FROM message m JOIN wa_session s ON s.id = m.session_id
            WHERE m.status = 'sending' AND ({WANTED}) IS NOT TRUE AND {_UNOWNED}
            LIMIT %(batch)s FOR NO KEY UPDATE OF s, m SKIP LOCKED
        ), doubted AS (
            UPDATE message m SET {DOUBT} FROM left_over WHERE m.id = left_over.id RETURNING m.id
        )
        {told_of_doubt("doubted")}"""
    return execute(statement, {"batch": BATCH})


def fail_unconfirmed() -> int:
    """`uncertain → failed` when no receipt has come and no resend was confirmed in 24 hours."""
    statement = """
        WITH old AS (
            SELECT m.id FROM message m JOIN restaurant r ON r.id = m.restaurant_id
            WHERE m.status = 'uncertain' AND r.resend_uncertain
              AND m.sending_at < clock_timestamp() - make_interval(hours => %(hours)s)
            LIMIT %(batch)s FOR UPDATE OF m SKIP LOCKED
        ), failed AS (
            UPDATE message m SET status = 'failed', status_at = clock_timestamp(), hold_reason = '', hold_until = NULL,
                error_code = 'unconfirmed', error_detail = %(why)s
            FROM old WHERE m.id = old.id RETURNING m.id
        )
        INSERT INTO message_event (message_id, at, status, detail)
        SELECT id, clock_timestamp(), 'failed', '{"reason": "unconfirmed"}' FROM failed"""
    return execute(statement, {"batch": BATCH, "hours": RESEND_FOR_HOURS, "why": UNCONFIRMED})


def expire_links() -> int:
    """Codes that nobody can use any more disappear, also where no worker is alive to take them away: `linking → unlinked`; any
    other state stays, and nothing is told of it. Answers how many were linking."""
    statement = """
        WITH old AS (
            SELECT s.id, s.state = 'linking' AS linking FROM wa_session s
            WHERE s.linked_at IS NULL AND (s.qr <> '' OR s.pairing_code <> '' OR s.link_until IS NOT NULL OR s.state = 'linking')
              AND (s.link_until IS NULL OR s.link_until < clock_timestamp())
              AND NOT EXISTS (SELECT 1 FROM worker w WHERE w.id = s.owner_id AND w.expires_at > clock_timestamp())
            FOR NO KEY UPDATE OF s SKIP LOCKED
        ), ended AS (
            UPDATE wa_session s SET qr = '', qr_generated_at = NULL, qr_expires_at = NULL, pairing_code = '', link_until = NULL,
                link_phone = '', state = CASE WHEN old.linking THEN 'unlinked' ELSE s.state END,
                state_reason = CASE WHEN old.linking THEN 'link_expired' ELSE s.state_reason END,
                state_detail = CASE WHEN old.linking THEN %(why)s ELSE s.state_detail END,
                state_changed_at = CASE WHEN old.linking THEN clock_timestamp() ELSE s.state_changed_at END,
                updated_at = clock_timestamp()
            FROM old WHERE s.id = old.id RETURNING s.id, old.linking
        )
        INSERT INTO wa_session_event (session_id, at, kind, detail)
        SELECT id, clock_timestamp(), 'state', '{"to": "unlinked", "reason": "link_expired"}' FROM ended WHERE linking"""
    return execute(statement, {"why": NOT_SCANNED})


def forget_idempotency_records() -> int:
    statement = """
        DELETE FROM idempotency_record WHERE id IN (
            SELECT id FROM idempotency_record WHERE created_at < statement_timestamp() - make_interval(days => %(days)s)
            ORDER BY created_at LIMIT %(batch)s)"""
    return execute(statement, {"days": IDEMPOTENCY_DAYS, "batch": 50 * BATCH})


def forget_workers() -> int:
    """Rows of workers long gone that own nothing."""
    statement = """
        DELETE FROM worker w WHERE w.expires_at < clock_timestamp() - make_interval(days => %(days)s)
          AND NOT EXISTS (SELECT 1 FROM wa_session s WHERE s.owner_id = w.id)"""
    return execute(statement, {"days": WORKER_DAYS})
