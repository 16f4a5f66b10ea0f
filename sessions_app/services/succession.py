"""A number that was linked in one session of a restaurant and is now linked in a new one: its customers go along, those who have
opted out above all, and so does what is known of the number itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from django.db import transaction

from sessions_app.services.sql import execute, fetch

MOVED_AT_ONCE = 1_000  # customers, of each session


@dataclass(frozen=True, slots=True)
class Linked:
    """This session's number is `phone` (E.164), as its owner says under this term."""

    session: UUID
    term: int
    phone: str


class _Heir(NamedTuple):
    session: UUID
    before: UUID


# A session that has never had a number; and the last one that had this number and has it no more.
_HEIRS = """
    SELECT s.id, before.id
    FROM unnest(%(session)s::uuid[], %(term)s::bigint[], %(phone)s::text[]) AS t(session, term, phone)
    JOIN wa_session s ON s.id = t.session AND s.term = t.term AND s.owner_id = %(worker)s AND s.history_phone = ''
    CROSS JOIN LATERAL (
        SELECT b.id FROM wa_session b
        WHERE b.restaurant_id = s.restaurant_id AND b.id <> s.id AND b.history_phone = t.phone
          AND (b.deleted_at IS NOT NULL OR b.linked_at IS NULL)
        ORDER BY b.last_sent_at DESC NULLS LAST LIMIT 1) before"""

# Whom the new session knows already stays where they are.
_MOVE = """
    WITH theirs AS (
        SELECT k.id FROM contact k
        WHERE k.session_id = %(before)s
          AND NOT EXISTS (SELECT 1 FROM contact o WHERE o.session_id = %(session)s AND o.phone = k.phone AND o.phone <> '')
          AND NOT EXISTS (SELECT 1 FROM contact o WHERE o.session_id = %(session)s AND o.lid = k.lid AND o.lid <> '')
        ORDER BY k.id LIMIT %(most)s FOR UPDATE OF k
    )
    UPDATE contact k SET session_id = %(session)s FROM theirs WHERE k.id = theirs.id"""

_INHERIT = """
    UPDATE wa_session s SET first_linked_at = b.first_linked_at, history_since = b.history_since, declared_days = b.declared_days,
        declared_on = b.declared_on, standing = b.standing
    FROM wa_session b WHERE s.id = %(session)s AND s.first_linked_at IS NULL AND b.id = %(before)s"""
_COUNT = """
    UPDATE send_tally t SET session_id = %(session)s
    WHERE t.session_id = %(before)s AND NOT EXISTS (
        SELECT 1 FROM send_tally o WHERE o.session_id = %(session)s AND o.quarter = t.quarter AND o.lane = t.lane)"""
_FORGET = "UPDATE wa_session SET history_phone = '' WHERE id = %(before)s"
_RANK = """
    UPDATE message m SET lane = CASE WHEN k.last_inbound_at >= since.at THEN 0 ELSE 1 END
    FROM wa_session s CROSS JOIN LATERAL (SELECT COALESCE(s.history_since, '-infinity') AS at) since
    JOIN contact k ON k.session_id = s.id AND k.phone <> ''
    WHERE s.id = %(session)s AND m.session_id = s.id AND m.to_phone = k.phone AND m.restaurant_id = s.restaurant_id
      AND m.status IN ('queued', 'scheduled') AND m.lane = 2
      AND (k.last_inbound_at >= since.at OR (k.last_outbound_at >= since.at AND (k.refusals = 0 OR k.on_whatsapp)))"""
_NOTE = """
    INSERT INTO wa_session_event (session_id, at, kind, detail)
    VALUES (%(session)s, clock_timestamp(), 'number_moved_here', '{}')"""


def make_room(*, worker: UUID, linked: Sequence[Linked]) -> set[UUID]:
    """Before it is said that these are linked: until then nothing is claimed. Answers the sessions for which there was something
    to do: to be called again, since more may be left."""
    values = {name: [getattr(one, name) for one in linked] for name in ("session", "term", "phone")}
    heirs = fetch(_Heir, _HEIRS, {"worker": worker, **values}) if linked else []
    for heir in heirs:
        _succeed(heir)
    return {heir.session for heir in heirs}


@transaction.atomic
def _succeed(heir: _Heir) -> None:
    values = {"session": heir.session, "before": heir.before}
    if execute(_MOVE, {**values, "most": MOVED_AT_ONCE}) < MOVED_AT_ONCE:
        for statement in (_INHERIT, _COUNT, _FORGET, _RANK, _NOTE):
            execute(statement, values)
