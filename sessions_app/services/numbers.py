"""Another number in a session's place: what was known of the one before does not hold for it."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sessions_app.services.sql import execute, fetch

RANKED_ANEW = 1_000  # at once, of each session: the next to go, and as many of those that are held, and that are scheduled

# WhatsApp tells the times of messages in whole seconds.
_FORGET = """
    UPDATE wa_session s SET first_linked_at = clock_timestamp(), history_since = date_trunc('second', clock_timestamp()),
        declared_days = NULL, declared_on = NULL, standing = '{}'
    WHERE s.id = ANY(%(sessions)s)"""

# Sent again by another number it would be another message, whatever its id: the customer may see both. Where a person is to
# decide, it waits for them; where they have said *Send again*, it is queued and has been handed over already.
_GIVE_UP = """
    WITH gone AS MATERIALIZED (
        SELECT m.id FROM message m JOIN restaurant r ON r.id = m.restaurant_id
        WHERE m.session_id = ANY(%(sessions)s) AND m.status = 'uncertain' AND r.resend_uncertain
        UNION ALL
        SELECT m.id FROM message m WHERE m.session_id = ANY(%(sessions)s) AND m.status = 'queued' AND m.sending_at IS NOT NULL
    ), unanswered AS (
        SELECT m.id FROM message m JOIN gone USING (id) WHERE m.status IN ('uncertain', 'queued')
        ORDER BY m.id FOR NO KEY UPDATE OF m
    ), failed AS (
        UPDATE message m SET status = 'failed', status_at = clock_timestamp(), hold_reason = '', hold_until = NULL,
            error_code = 'unconfirmed',
            error_detail = 'Another number was linked before WhatsApp confirmed it; the customer may or may not have it.'
        FROM unanswered WHERE m.id = unanswered.id RETURNING m.id
    )
    INSERT INTO message_event (message_id, at, status, detail)
    SELECT id, clock_timestamp(), 'failed', '{"reason": "number_replaced"}' FROM failed"""

# WhatsApp has refused it nobody yet, nor has it sent anything. Customers are held before what waits for them, as by who takes in
# what they write.
_UNPARK = """
    WITH refused AS MATERIALIZED (
        SELECT k.id FROM contact k WHERE k.session_id = ANY(%(sessions)s) AND (k.refusals > 0 OR k.parked_until IS NOT NULL)
        ORDER BY k.id FOR NO KEY UPDATE OF k
    ), free AS (
        UPDATE contact k SET refusals = 0, parked_until = NULL FROM refused WHERE k.id = refused.id
        RETURNING k.restaurant_id, k.session_id, k.phone
    ), held AS MATERIALIZED (
        SELECT m.id FROM message m JOIN free ON m.restaurant_id = free.restaurant_id AND m.to_phone = free.phone
            AND m.session_id = free.session_id
        WHERE m.status = 'queued' AND m.hold_reason = 'contact_parked' ORDER BY m.id FOR NO KEY UPDATE OF m
    )
    UPDATE message m SET held = false, hold_reason = '', hold_until = NULL, not_before = clock_timestamp() FROM held
    WHERE m.id = held.id AND m.status = 'queued'"""
_UNCOUNT = "DELETE FROM send_tally WHERE session_id = ANY(%(sessions)s)"

# Nobody has written to this number yet.
_TO_STRANGERS = """
    WITH waiting AS MATERIALIZED (
        SELECT one.id, s.id AS session
        FROM wa_session s JOIN restaurant r ON r.id = s.restaurant_id AND r.protect_strangers, LATERAL (
            (SELECT m.id FROM message m WHERE m.session_id = s.id AND m.status = 'queued' AND NOT m.held AND m.lane < 2
               AND NOT m.exempt
             ORDER BY m.lane, m.priority, m.seq LIMIT %(most)s)
            UNION ALL
            (SELECT m.id FROM message m WHERE m.session_id = s.id AND m.status = 'queued' AND m.held AND m.lane < 2
               AND NOT m.exempt
             ORDER BY m.lane, m.priority, m.seq LIMIT %(most)s)
            UNION ALL
            (SELECT m.id FROM message m WHERE m.session_id = s.id AND m.status = 'scheduled' AND m.lane < 2 AND NOT m.exempt
             LIMIT %(most)s)
        ) one
        WHERE s.id = ANY(%(sessions)s)
    ), locked AS MATERIALIZED (
        SELECT m.id FROM message m JOIN waiting USING (id) ORDER BY m.id FOR NO KEY UPDATE OF m
    ), ranked AS (
        UPDATE message m SET lane = 2 FROM locked WHERE m.id = locked.id AND m.status IN ('queued', 'scheduled')
    )
    SELECT session, count(*) FROM waiting GROUP BY session"""

_NOTE = """
    INSERT INTO wa_session_event (session_id, at, kind, detail)
    SELECT unnest(%(sessions)s::uuid[]), clock_timestamp(), 'number_replaced', '{}'"""


class _Part(NamedTuple):
    session: UUID
    messages: int


def make_room(*, sessions: Sequence[UUID]) -> set[UUID]:
    """Before it is said that another number is linked: until then nothing is claimed, and of what waits one part is ranked,
    without the session's row being held. Answers the sessions of which more may wait: to be called again. What is accepted
    meanwhile `begin_anew` ranks."""
    return {part.session for part in _rank(sessions) if part.messages >= RANKED_ANEW}


def begin_anew(*, sessions: Sequence[UUID]) -> None:
    """Inside the transaction that says that another number is linked, and before anything is claimed for it: its warm-up begins,
    its customers are strangers to it, and what the number before left unanswered is not sent again."""
    values = {"sessions": list(sessions)}
    execute(_FORGET, values)
    execute(_GIVE_UP, values)
    execute(_UNPARK, values)
    execute(_UNCOUNT, values)
    _rank(sessions)
    execute(_NOTE, values)


def _rank(sessions: Sequence[UUID]) -> list[_Part]:
    return fetch(_Part, _TO_STRANGERS, {"sessions": list(sessions), "most": RANKED_ANEW})
