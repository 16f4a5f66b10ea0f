"""What came of the claims of a tick, in one statement, and what that says of the customers.

It carries the owner and each session's term, so that a former owner settles nothing; and it may be repeated when nobody knows
whether its commit went through.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sessions_app.models.base import uuid7
from sessions_app.services import contacts
from sessions_app.services.contacts import Reached
from sessions_app.services.sql import execute, fetch, records


@dataclass(frozen=True, slots=True)
class Settlement:
    """What came of one claim. `sent_at` is set when it went over the wire: the session's pace counts from then."""

    message: UUID
    session: UUID
    term: int
    status: str
    at: datetime
    to_phone: str
    lane: int = 0
    again: bool = False  # an earlier attempt was counted: of a stranger's first message the day counts no other chat
    code: str = ""
    detail: str = ""
    address: str = ""
    not_before: datetime | None = None  # holds this message
    hold_until: datetime | None = None  # shown as the reason for waiting
    sent_at: datetime | None = None
    next_send_at: datetime | None = None  # holds the session
    delay_ms: int = 0  # the pause drawn between those two
    cold_delay_ms: int = 0  # the same for the next message to a stranger
    parked_until: datetime | None = None  # holds this customer
    on_whatsapp: bool | None = None  # what the answer says of that


@dataclass(frozen=True, slots=True)
class _Customer:
    """What a settlement says of one. `id`: of a contact that is not there yet."""

    id: UUID
    session: UUID
    term: int
    phone: str
    address: str  # whom it reached there
    sent_at: datetime | None
    on_whatsapp: bool | None
    parked_until: datetime | None


# What is queued again surely did not go: the day for which it may be sent again has not begun.
# A receipt may have come before this: then the status stays what the receipt made it, and only what is missing is filled in.
# A send is counted once: a repeated settlement finds its own as the session's last, since there is no other before that one is
# settled. The last send is the one settled last: earlier than the one before where the clock was set back, and what was to be
# waited for by the old clock is over then. Messages are locked in the order in which receipts lock them: two batches that name
# the same ones wait for each other, not in a circle. What the same transaction claims afterwards, it does not wait for.
_SETTLE = """
    WITH result AS (
        SELECT * FROM json_to_recordset(%(settlements)s::json)
            AS t(message uuid, session uuid, term bigint, status text, at timestamptz, lane int, again bool, code text,
                 detail text, address text, not_before timestamptz, hold_until timestamptz, sent_at timestamptz,
                 next_send_at timestamptz, delay_ms int, cold_delay_ms int)
    ), own AS (
        SELECT s.id, s.last_sent_at FROM wa_session s
        JOIN result t ON s.id = t.session AND s.term = t.term AND s.owner_id = %(worker)s
        FOR NO KEY UPDATE OF s
    ), locked AS MATERIALIZED (
        SELECT m.id FROM message m WHERE m.id IN (SELECT message FROM result) ORDER BY m.id FOR NO KEY UPDATE OF m
    ), settled AS (
        UPDATE message m SET
            status = CASE WHEN m.status = 'sending' THEN t.status ELSE m.status END,
            status_at = CASE WHEN m.status = 'sending' THEN t.at ELSE m.status_at END,
            sending_at = CASE WHEN m.status = 'sending' AND t.status = 'queued' THEN NULL ELSE m.sending_at END,
            sent_at = CASE WHEN t.status = 'sent' THEN COALESCE(m.sent_at, LEAST(t.at, m.delivered_at)) ELSE m.sent_at END,
            address = CASE WHEN m.address = '' THEN left(t.address, 80) ELSE m.address END,
            not_before = CASE WHEN m.status = 'sending' THEN COALESCE(t.not_before, m.not_before) ELSE m.not_before END,
            held = m.status = 'sending' AND t.status = 'queued' AND t.not_before IS NOT NULL,
            hold_reason = CASE WHEN m.status = 'sending' AND t.hold_until IS NOT NULL THEN left(t.code, 40) ELSE '' END,
            hold_until = CASE WHEN m.status = 'sending' THEN t.hold_until END,
            error_code = CASE WHEN m.status = 'sending' THEN left(t.code, 40) ELSE m.error_code END,
            error_detail = CASE WHEN m.status = 'sending' THEN left(t.detail, 300) ELSE m.error_detail END,
            tries = CASE WHEN m.status = 'sending' AND t.status IN ('queued', 'uncertain') AND t.code <> ''
                         THEN jsonb_set(m.tries, ARRAY[t.code], to_jsonb(COALESCE((m.tries->>t.code)::int, 0) + 1))
                         ELSE m.tries END
        FROM result t JOIN own ON own.id = t.session, (SELECT count(*) FROM locked) AS all_of_them
        WHERE m.id = t.message AND m.claimed_term = t.term
          AND (m.status = 'sending' OR (t.status = 'sent' AND m.status IN ('delivered', 'read') AND m.sent_at IS NULL))
        RETURNING m.id, t.status, t.at, t.code
    ), line AS (
        INSERT INTO message_event (message_id, at, status, detail)
        SELECT id, at, status, CASE WHEN code = '' THEN '{}'::jsonb ELSE jsonb_build_object('reason', code) END FROM settled
    ), counted AS (
        INSERT INTO send_tally AS tally (session_id, quarter, lane, sent)
        SELECT t.session, date_bin('15 minutes', t.sent_at, 'epoch'), CASE WHEN t.again THEN LEAST(t.lane, 1) ELSE t.lane END, 1
        FROM result t JOIN own ON own.id = t.session
        WHERE t.sent_at IS NOT NULL AND t.sent_at IS DISTINCT FROM own.last_sent_at
        ON CONFLICT (session_id, quarter, lane) DO UPDATE SET sent = tally.sent + 1
    )
    UPDATE wa_session s SET
        last_sent_at = COALESCE(t.sent_at, s.last_sent_at),
        next_send_at = CASE WHEN t.sent_at < s.last_sent_at THEN t.next_send_at
                            ELSE GREATEST(s.next_send_at, t.next_send_at) END,
        next_delay_ms = CASE WHEN t.sent_at IS NULL THEN s.next_delay_ms ELSE t.delay_ms END,
        cold_sent_at = CASE WHEN t.lane > 0 OR t.sent_at < s.cold_sent_at THEN COALESCE(t.sent_at, s.cold_sent_at)
                            ELSE s.cold_sent_at END,
        cold_delay_ms = CASE WHEN t.lane > 0 AND t.sent_at IS NOT NULL THEN t.cold_delay_ms ELSE s.cold_delay_ms END
    FROM result t JOIN own ON own.id = t.session WHERE s.id = t.session"""

# Locked in the order in which inbound messages lock them, so that neither waits for the other in a circle: those whom a send has
# reached under a LID that we knew already, too. A repeated settlement parks nobody for longer than it did, and so is no second
# refusal. The answer are those of whom more was known at the address that was reached than under the number that was dialled.
_CUSTOMERS = """
    WITH told AS (
        SELECT t.*, s.restaurant_id FROM json_to_recordset(%(customers)s::json)
            AS t(id uuid, session uuid, term bigint, phone text, address text, sent_at timestamptz, on_whatsapp bool,
                 parked_until timestamptz)
        JOIN wa_session s ON s.id = t.session AND s.term = t.term AND s.owner_id = %(worker)s
    ), known AS MATERIALIZED (
        SELECT k.session_id, k.phone, k.lid, COALESCE(NULLIF(k.lid, ''), k.address) AS account, k.last_inbound_at, k.opted_out_at
        FROM contact k
        WHERE k.id IN (SELECT p.id FROM contact p JOIN told t ON p.session_id = t.session AND p.phone = t.phone AND p.phone <> ''
                       UNION ALL
                       SELECT l.id FROM contact l JOIN told t ON l.session_id = t.session AND l.lid = t.address AND l.lid <> ''
                       UNION ALL
                       SELECT o.id FROM contact o JOIN told t ON o.session_id = t.session AND o.address = t.address
                           AND o.address <> '')
        ORDER BY k.id FOR NO KEY UPDATE OF k
    ), noted AS (
        INSERT INTO contact AS k (id, restaurant_id, session_id, phone, lid, address, name, on_whatsapp, checked_at,
                                  last_outbound_at, refusals, parked_until, created_at)
        SELECT id, restaurant_id, session, phone, '', left(address, 80), '', on_whatsapp,
               CASE WHEN on_whatsapp IS NOT NULL THEN clock_timestamp() END, sent_at,
               CASE WHEN parked_until IS NULL THEN 0 ELSE 1 END, parked_until, clock_timestamp()
        FROM told, (SELECT count(*) FROM known) AS locked
        ORDER BY session, phone COLLATE "C"
        ON CONFLICT (session_id, phone) WHERE phone <> '' DO UPDATE SET
            last_outbound_at = GREATEST(k.last_outbound_at, EXCLUDED.last_outbound_at),
            address = COALESCE(NULLIF(EXCLUDED.address, ''), k.address),
            on_whatsapp = COALESCE(EXCLUDED.on_whatsapp, k.on_whatsapp),
            checked_at = COALESCE(EXCLUDED.checked_at, k.checked_at),
            refusals = CASE WHEN EXCLUDED.parked_until > COALESCE(k.parked_until, '-infinity') THEN k.refusals + 1
                            WHEN EXCLUDED.on_whatsapp THEN 0 ELSE k.refusals END,
            parked_until = COALESCE(EXCLUDED.parked_until, CASE WHEN EXCLUDED.on_whatsapp THEN NULL ELSE k.parked_until END)
    )
    SELECT DISTINCT t.restaurant_id, t.session, t.phone, t.address FROM told t
    JOIN known l ON l.session_id = t.session AND l.account = t.address AND t.address <> '' AND l.phone <> t.phone
    LEFT JOIN known p ON p.session_id = t.session AND p.phone = t.phone
    WHERE l.phone = '' OR p.lid NOT IN ('', t.address)
       OR (p.last_inbound_at, p.opted_out_at) IS DISTINCT FROM (l.last_inbound_at, l.opted_out_at)"""

# The chat is open now: what waits for the same stranger opens none. What somebody else holds at this moment is left alone, as by
# `lanes.open_chats`.
_OPENED = """
    WITH waiting AS MATERIALIZED (
        SELECT m.id FROM json_to_recordset(%(settlements)s::json) AS t(session uuid, term bigint, to_phone text)
        JOIN wa_session s ON s.id = t.session AND s.term = t.term AND s.owner_id = %(worker)s
        JOIN message m ON m.restaurant_id = s.restaurant_id AND m.to_phone = t.to_phone AND m.session_id = s.id
        WHERE m.lane = 2 AND m.status IN ('queued', 'scheduled')
        FOR NO KEY UPDATE OF m SKIP LOCKED
    )
    UPDATE message m SET lane = 1 FROM waiting WHERE m.id = waiting.id"""


def settle(*, worker: UUID, settlements: Sequence[Settlement]) -> None:
    """Inside the caller's transaction."""
    execute(_SETTLE, {"worker": worker, "settlements": records(settlements)}, often=True)
    _note_customers(worker, [one for one in settlements if one.sent_at or one.on_whatsapp is not None])
    opened = [one for one in settlements if one.lane == 2 and one.on_whatsapp]
    if opened:
        execute(_OPENED, {"worker": worker, "settlements": records(opened)})


def _note_customers(worker: UUID, told: Sequence[Settlement]) -> None:
    if told:
        customers = [
            _Customer(uuid7(), one.session, one.term, one.to_phone, _reached(one), one.sent_at, one.on_whatsapp, one.parked_until)
            for one in told
        ]
        contacts.note_reached(fetch(Reached, _CUSTOMERS, {"worker": worker, "customers": records(customers)}, often=True))


def _reached(one: Settlement) -> str:
    return one.address if one.on_whatsapp else ""
