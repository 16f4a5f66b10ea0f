"""The next message of each session that is due, handed to its owner: one statement for all sessions of a tick.

It carries the owner and each session's term, so that a former owner claims nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sessions_app.policy.guards import IDENTICAL_WITHIN
from sessions_app.policy.priorities import WAITED
from sessions_app.policy.retry import NOT_ON_WHATSAPP
from sessions_app.services.sql import execute, fetch, records

NOTHING = -1  # no priority is low enough
RESEND_FOR_HOURS = 24  # after the first hand-over
NOT_ON_WHATSAPP_FOR_S = 6 * 3_600  # people join


@dataclass(frozen=True, slots=True)
class Due:
    """A session whose slot has come. `warm`, `cold`, `new`: each lane's messages of this priority or a more urgent one may go,
    NOTHING: none. `oldest`: this slot goes to what has waited longest. Of each pause: the slot at its end, and how long it is."""

    session: UUID
    term: int
    warm: int = 3
    cold: int = 3
    new: int = 3
    oldest: bool = False
    warm_slot: datetime | None = None
    warm_delay_ms: int = 0
    cold_slot: datetime | None = None
    cold_delay_ms: int = 0
    gap_s: float = 0.0  # between two messages to one customer
    identical: int | None = None  # strangers who may have the same text within an hour; None: any number


class Claim(NamedTuple):
    """What became of a message whose turn came: `sending` was committed before anybody sees this. Anything else was settled
    here: it is suppressed, has failed, or is held, and the session's slot is free for another."""

    message: UUID
    session: UUID
    term: int
    status: str
    lane: int
    wa_id: str
    to_phone: str
    lid: str
    address: str
    body: str
    expires_at: datetime | None
    attempt: int
    tries: dict[str, int]  # how often each code came of the earlier attempts
    resend: bool  # an earlier attempt had no clear outcome
    refusals: int  # of this customer by WhatsApp (463), since it last took a message to them


# What was due at its last change stays due when the clock is set back: else what is accepted afterwards would overtake it. What
# is taken was due, and its time is now at the latest: else it would wait for the old clock, were it given back.
_DUE = "m.not_before <= GREATEST(m.status_at, clock_timestamp())"
_FRESH = f"COALESCE(m.sending_at, m.status_at) > clock_timestamp() - interval '{RESEND_FOR_HOURS} hours'"
# Sent again by the number that was linked after the one that handed it over, it would be another message.
_THIS_NUMBERS = "(m.sending_at < {}.history_since) IS NOT TRUE"
# A resend may be the first that the customer sees of it.
_WELCOME = """(m.exempt OR NOT EXISTS (
                  SELECT 1 FROM contact x WHERE x.session_id = m.session_id AND x.phone = m.to_phone AND x.phone <> ''
                    AND x.opted_out_at IS NOT NULL))"""
# What had no answer and is sent again, where its restaurant wants that; its session's row is named.
RESENT = f"{_FRESH} AND {_THIS_NUMBERS} AND {_WELCOME}"
READY = f"""m.status = 'queued' AND NOT m.held AND {_DUE}
              AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp())"""
HELD_NO_MORE = "m.status = 'queued' AND m.held AND m.not_before <= statement_timestamp()"

# A lane's first message is the first line of an index, however many wait behind it or are finished.
_FIRST = "\n                UNION ALL\n".join(
    f"""                (SELECT m.id, m.priority, m.seq FROM message m
                 WHERE m.session_id = due.id AND m.lane = {lane} AND m.priority <= due.{name} AND {READY}
                 ORDER BY m.priority, m.seq LIMIT 1)"""
    for lane, name in enumerate(("warm", "cold", "new"))
)
# BETWEEN, not =: where one priority alone is in the answer, the index of all that a session ever sent gives its order, too, and
# the planner may read that to its end.
_OLDEST = f"""
                SELECT h.id FROM (VALUES (0, due.warm), (1, due.cold), (2, due.new)) AS l(lane, upto),
                    generate_series(0, l.upto) AS p(priority),
                    LATERAL (SELECT m.id, m.seq, m.not_before FROM message m
                             WHERE m.session_id = due.id AND m.lane = l.lane AND m.priority BETWEEN p.priority AND p.priority
                               AND {READY}
                             ORDER BY m.priority, m.seq LIMIT 1) h
                WHERE due.oldest AND h.not_before < clock_timestamp() - make_interval(secs => %(waited)s)
                ORDER BY h.seq LIMIT 1"""

TEXT_KEY = r"lower(regexp_replace(btrim({}.body, E' \t\n\r'), '\s+', ' ', 'g'))"  # as policy.guards.text_key

# The row lock on the session keeps a take-over out until the claim has committed. An unanswered message goes before all
# others of its session, whatever holds those, and while one is under way, or waits for its resend, nothing else goes: for a day,
# then it is never sent again. What somebody else holds, session or message, is passed over, and its owner's next look finds it.
# Waited for, it would hold up all others. A message whose lane changed between the look and the lock, since its customer has
# just written, may still be sent; what else was ruled was ruled for the lane before.
_CLAIM = f"""
    WITH due AS (
        SELECT s.id, d.*, s.history_since, r.resend_uncertain
        FROM json_to_recordset(%(due)s::json)
            AS d(session uuid, term bigint, warm int, cold int, new int, oldest bool, warm_slot timestamptz, warm_delay_ms int,
                 cold_slot timestamptz, cold_delay_ms int, gap_s float8, identical int)
        JOIN wa_session s ON s.id = d.session AND s.term = d.term AND s.owner_id = %(worker)s AND s.state = 'connected'
            AND s.deleted_at IS NULL
        JOIN restaurant r ON r.id = s.restaurant_id AND r.is_active
        FOR NO KEY UPDATE OF s SKIP LOCKED
    ), pick AS (
        SELECT due.*, COALESCE(u.id, o.id, q.id) AS message, u.id IS NOT NULL AS resend
        FROM due
        LEFT JOIN LATERAL (
            SELECT m.id, m.status, {_DUE} AS waited FROM message m
            WHERE m.session_id = due.id AND m.status IN ('sending', 'uncertain')
              AND (m.status = 'sending' OR (due.resend_uncertain AND {RESENT.format("due")}))
            ORDER BY m.seq LIMIT 1
        ) u ON true
        LEFT JOIN LATERAL ({_OLDEST}
        ) o ON u.id IS NULL
        LEFT JOIN LATERAL (
            SELECT f.id FROM (
{_FIRST}
            ) f ORDER BY f.priority, f.seq LIMIT 1
        ) q ON u.id IS NULL AND o.id IS NULL
        WHERE o.id IS NOT NULL OR q.id IS NOT NULL OR (u.status = 'uncertain' AND u.waited)
    ), judged AS (
        SELECT pick.*, m.lane AS seen, COALESCE(k.lid, '') AS lid, COALESCE(k.refusals, 0) AS refusals,
            CASE WHEN pick.resend THEN 'sending'
                 WHEN k.opted_out_at IS NOT NULL AND NOT m.exempt THEN 'suppressed'
                 WHEN NOT k.on_whatsapp AND k.checked_at > clock_timestamp() - make_interval(secs => %(absent)s) THEN 'failed'
                 ELSE 'sending' END AS verdict,
            CASE WHEN NOT pick.resend AND NOT m.exempt AND k.last_outbound_at IS NOT NULL
                 THEN LEAST(k.last_outbound_at, statement_timestamp()) + make_interval(secs => pick.gap_s) END AS gap_until,
            CASE WHEN NOT pick.resend THEN k.parked_until END AS parked_until,
            CASE WHEN NOT pick.resend AND m.lane > 0 AND pick.identical IS NOT NULL THEN (
                SELECT x.sent_at + make_interval(secs => %(within)s) FROM message x
                WHERE x.session_id = m.session_id AND x.lane > 0 AND x.to_phone <> m.to_phone
                  AND {TEXT_KEY.format("x")} = {TEXT_KEY.format("m")}
                  AND x.sent_at > statement_timestamp() - make_interval(secs => %(within)s)
                ORDER BY x.sent_at DESC OFFSET pick.identical - 1 LIMIT 1) END AS identical_until
        FROM pick JOIN message m ON m.id = pick.message
        LEFT JOIN contact k ON k.session_id = m.session_id AND k.phone = m.to_phone AND k.phone <> ''
    ), ruled AS (
        SELECT judged.*, CASE WHEN verdict = 'sending' AND until > statement_timestamp() THEN until END AS held
        FROM judged, LATERAL (SELECT GREATEST(gap_until, parked_until, identical_until) AS until) AS longest
    ), locked AS MATERIALIZED (
        SELECT m.id FROM ruled JOIN message m ON m.id = ruled.message FOR NO KEY UPDATE OF m SKIP LOCKED
    ), claimed AS (
        UPDATE message m SET
            status = CASE WHEN ruled.held IS NULL THEN ruled.verdict ELSE m.status END,
            status_at = CASE WHEN ruled.held IS NULL THEN clock_timestamp() ELSE m.status_at END,
            attempts = CASE WHEN ruled.held IS NULL AND ruled.verdict = 'sending' THEN LEAST(m.attempts + 1, 32767)
                            ELSE m.attempts END,
            claimed_term = ruled.term,
            sending_at = CASE WHEN ruled.held IS NULL AND ruled.verdict = 'sending'
                              THEN COALESCE(m.sending_at, clock_timestamp()) ELSE m.sending_at END,
            delay_ms = CASE WHEN ruled.held IS NOT NULL OR m.delay_ms IS NOT NULL THEN m.delay_ms
                            WHEN m.lane > 0 AND m.not_before < ruled.cold_slot THEN ruled.cold_delay_ms
                            WHEN m.not_before < ruled.warm_slot THEN ruled.warm_delay_ms ELSE 0 END,
            held = ruled.held IS NOT NULL, hold_until = ruled.held,
            not_before = COALESCE(ruled.held, LEAST(m.not_before, clock_timestamp())),
            hold_reason = CASE WHEN ruled.held IS NULL THEN '' WHEN ruled.held = ruled.parked_until THEN 'contact_parked'
                               WHEN ruled.held = ruled.identical_until THEN 'identical_text' ELSE 'recipient_gap' END,
            error_code = CASE WHEN ruled.verdict = 'failed' THEN 'not_on_whatsapp' ELSE '' END,
            error_detail = CASE WHEN ruled.verdict = 'failed' THEN %(not_on_whatsapp)s ELSE '' END
        FROM ruled JOIN locked ON locked.id = ruled.message
        WHERE m.id = locked.id AND m.status IN ('queued', 'uncertain')
          AND (m.lane = ruled.seen OR (ruled.verdict = 'sending' AND ruled.held IS NULL))
        RETURNING m.id, m.session_id, ruled.term, CASE WHEN ruled.held IS NULL THEN m.status ELSE 'held' END AS status, m.lane,
                  m.wa_id, m.to_phone, ruled.lid, m.address, m.body, m.expires_at, m.attempts, m.tries, ruled.resend,
                  ruled.refusals
    ), line AS (
        INSERT INTO message_event (message_id, at, status, detail)
        SELECT id, clock_timestamp(), status, CASE status
            WHEN 'sending' THEN jsonb_build_object('attempt', attempts, 'resend', resend)
            WHEN 'failed' THEN '{{"reason": "not_on_whatsapp"}}' ELSE '{{"reason": "opted_out"}}' END
        FROM claimed WHERE status <> 'held'
    )
    SELECT * FROM claimed"""


def statement(*, worker: UUID, due: Sequence[Due]) -> tuple[str, dict[str, Any]]:
    """The claim and its values: for whoever wants it explained."""
    limits = {"waited": WAITED.total_seconds(), "within": IDENTICAL_WITHIN.total_seconds(), "absent": NOT_ON_WHATSAPP_FOR_S}
    return _CLAIM, {"worker": worker, **limits, "not_on_whatsapp": NOT_ON_WHATSAPP, "due": records(due)}


def claim(*, worker: UUID, due: Sequence[Due]) -> list[Claim]:
    """The next message of each due session, inside the caller's transaction."""
    claims = fetch(Claim, *statement(worker=worker, due=due), often=True)
    return [claim._replace(tries=json.loads(str(claim.tries))) for claim in claims]  # Django leaves jsonb as text


class Waiting(NamedTuple):
    """What a session has to send now: the most urgent priority of each lane, None where nothing waits or it has only just been
    held for long enough."""

    session: UUID
    unanswered: bool  # a resend is due
    warm: int | None
    cold: int | None
    new: int | None


_URGENT = ", ".join(
    f"(SELECT m.priority FROM message m WHERE m.session_id = s.id AND m.lane = {lane} AND {READY} ORDER BY m.priority LIMIT 1)"
    for lane in range(3)
)


def ready(*, worker: UUID, sessions: Sequence[UUID]) -> list[Waiting]:
    """Those of the worker's sessions that have something to send, as soon as its lane may."""
    statement = f"""
        WITH mine AS (
            SELECT s.id, r.resend_uncertain AND EXISTS (
                SELECT 1 FROM message m
                WHERE m.session_id = s.id AND m.status = 'uncertain' AND {_DUE} AND {RESENT.format("s")}) AS unanswered,
                EXISTS (SELECT 1 FROM message m WHERE m.session_id = s.id AND {READY})
                OR EXISTS (SELECT 1 FROM message m WHERE m.session_id = s.id AND {HELD_NO_MORE}) AS queued
            FROM wa_session s JOIN restaurant r ON r.id = s.restaurant_id AND r.is_active
            WHERE s.id = ANY(%(sessions)s) AND s.owner_id = %(worker)s)
        SELECT s.id, s.unanswered, {_URGENT} FROM mine s WHERE s.unanswered OR s.queued"""
    return fetch(Waiting, statement, {"worker": worker, "sessions": list(sessions)})


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
            ORDER BY m.id FOR NO KEY UPDATE OF m
        ), back AS (
            UPDATE message m SET status = lost.status, status_at = clock_timestamp(),
                sending_at = CASE WHEN lost.status = 'queued' THEN NULL ELSE m.sending_at END,
                not_before = LEAST(m.not_before, clock_timestamp())
            FROM lost WHERE m.id = lost.id RETURNING m.id, m.status
        )
        INSERT INTO message_event (message_id, at, status, detail)
        SELECT id, clock_timestamp(), status, '{"reason": "claim_in_doubt"}' FROM back"""
    values = {"worker": worker, "sessions": [session for session, _ in sessions], "terms": [term for _, term in sessions]}
    return execute(statement, values)
