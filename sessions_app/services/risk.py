"""How risky a number lives: what it did and what became of it in the last month, counted for `policy.risk`."""

from datetime import datetime, timedelta
from typing import NamedTuple

from sessions_app.models import Session
from sessions_app.policy.local_time import local_day
from sessions_app.policy.restrictions import cap_ends_at, lock_ends_at
from sessions_app.policy.risk import Facts, Risk, risk
from sessions_app.policy.signals import CapStatus
from sessions_app.policy.warmup import good_days
from sessions_app.services.outlook import Outlook
from sessions_app.services.sql import fetch

DAYS = 30


class _Counts(NamedTuple):
    sent: int
    cold: int
    identical: int
    opted_out: int
    written_to: int
    answered: int
    looked_up: int
    not_on_whatsapp: int
    refused: int
    time_locks: int
    bans: int


# What became of another number that was linked before is not counted.
# A restriction is told with each login while it lasts, and a ban with each login that is refused: what begins is counted.
_COUNTS = """
    WITH since AS (SELECT GREATEST(clock_timestamp() - make_interval(days => %(days)s), s.history_since) AS at
                   FROM wa_session s WHERE s.id = %(session)s),
    sent AS (SELECT COALESCE(sum(t.sent), 0) AS total, COALESCE(sum(t.sent) FILTER (WHERE t.lane > 0), 0) AS cold
             FROM send_tally t, since WHERE t.session_id = %(session)s AND t.quarter > since.at),
    same AS (SELECT COALESCE(sum(n), 0) AS n FROM (
                 SELECT count(*) AS n FROM message m, since
                 WHERE m.session_id = %(session)s AND m.lane > 0 AND m.sent_at > since.at
                 GROUP BY md5(m.body) HAVING count(DISTINCT m.to_phone) > 2) AS repeated),
    known AS (SELECT count(*) FILTER (WHERE k.last_outbound_at > since.at) AS written_to,
                     count(*) FILTER (WHERE k.last_outbound_at > since.at AND k.last_inbound_at IS NOT NULL) AS answered,
                     count(*) FILTER (WHERE k.checked_at > since.at) AS looked_up,
                     count(*) FILTER (WHERE k.checked_at > since.at AND NOT k.on_whatsapp) AS absent,
                     COALESCE(sum(k.refusals) FILTER (WHERE k.parked_until > since.at), 0) AS refused,
                     count(*) FILTER (WHERE k.opted_out_at > since.at) AS opted_out
              FROM contact k, since WHERE k.session_id = %(session)s),
    locked AS (SELECT count(*) FILTER (WHERE active AND NOT before) AS n FROM (
                   SELECT e.detail->'active' = 'true' AS active,
                          COALESCE(lag(e.detail->'active' = 'true') OVER (ORDER BY e.at, e.id), false) AS before
                   FROM wa_session_event e, since
                   WHERE e.session_id = %(session)s AND e.at > since.at AND e.kind = 'number_restricted') AS told),
    banned AS (SELECT count(*) FILTER (WHERE banned AND NOT before) AS n FROM (
                   SELECT e.detail->>'reason' IS NOT DISTINCT FROM 'banned_temporarily' AS banned,
                          COALESCE(lag(e.detail->>'reason' IS NOT DISTINCT FROM 'banned_temporarily')
                                   OVER (ORDER BY e.at, e.id), false) AS before
                   FROM wa_session_event e, since
                   WHERE e.session_id = %(session)s AND e.at > since.at AND e.kind = 'state'
                     AND (e.detail->>'to' = 'connected' OR e.detail->>'reason' = 'banned_temporarily')) AS states)
    SELECT sent.total, sent.cold, same.n, known.opted_out, known.written_to, known.answered, known.looked_up, known.absent,
           known.refused, locked.n, banned.n
    FROM sent, same, known, locked, banned"""


def of_session(session: Session, outlook: Outlook) -> Risk:
    counts = fetch(_Counts, _COUNTS, {"session": session.pk, "days": DAYS})[0]
    known, now = outlook.number.known, outlook.now
    today, since = local_day(outlook.rules.policy.zone, now).date, now - timedelta(days=DAYS)
    lock, ban = known.time_lock, known.ban
    restricted = {
        "time_locks": max(counts.time_locks, int(lock is not None and lock.active and lock.at > since)),
        "bans": max(counts.bans, int(ban is not None and ban.at > since)),
    }
    cap = known.cap.status if known.cap and _lasts(cap_ends_at(known), now) else CapStatus.NONE
    return risk(
        Facts(
            age_days=(today - outlook.number.warm_up.started_on).days,
            good_days=good_days(outlook.number.warm_up, today),
            cap=cap,
            locked_now=_lasts(lock_ends_at(known), now),
            banned_now=session.state_reason == "banned_temporarily",
            **counts._asdict() | restricted,
        )
    )


def _lasts(end: datetime | None, now: datetime) -> bool:
    return end is not None and end > now
