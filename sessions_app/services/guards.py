"""One text to very many strangers: what is held together with the one whose turn came.

Each would be claimed only to be held, a tick after the other, and anew for each that goes at the end of the hour.
"""

from collections.abc import Sequence

from django.conf import settings

from sessions_app.policy.guards import IDENTICAL_WITHIN
from sessions_app.services.claims import READY, TEXT_KEY, Claim, Due
from sessions_app.services.sql import execute, records

LOOKED_THROUGH = 1_000  # messages of the lane, the next to go: it takes the tick some 50 ms

# The claim has locked others already: what somebody else holds is left to its own turn, so that nobody is waited for in a circle.
# An owner that has not heard yet of another limit holds nothing for hours by the old one.
_HOLD = f"""
    WITH first AS (
        SELECT m.session_id, m.lane, m.hold_until, {TEXT_KEY.format("m")} AS text, d.identical
        FROM json_to_recordset(%(due)s::json) AS d(session uuid, identical int)
        JOIN message m ON m.session_id = d.session
        JOIN restaurant r ON r.id = m.restaurant_id AND r.protect_strangers
            AND COALESCE(r.identical_limit, %(default)s) = d.identical
        WHERE m.id = ANY(%(held)s) AND m.hold_reason = 'identical_text'
    ), alike AS (
        SELECT n.id, first.hold_until, first.identical,
               row_number() OVER (PARTITION BY n.session_id ORDER BY n.priority, n.seq) AS place
        FROM first, LATERAL (
            SELECT m.id, m.session_id, m.priority, m.seq, m.body FROM message m
            WHERE m.session_id = first.session_id AND m.lane = first.lane AND {READY}
            ORDER BY m.priority, m.seq LIMIT %(most)s) n
        WHERE {TEXT_KEY.format("n")} = first.text
    ), locked AS MATERIALIZED (
        SELECT m.id FROM message m JOIN alike USING (id) WHERE m.status = 'queued' AND m.lane > 0
        FOR NO KEY UPDATE OF m SKIP LOCKED
    ), until AS (
        SELECT id, hold_until + (place / identical) * make_interval(secs => %(within)s) AS at FROM alike JOIN locked USING (id)
    )
    UPDATE message m SET held = true, hold_reason = 'identical_text', hold_until = until.at, not_before = until.at FROM until
    WHERE m.id = until.id"""


def hold_alike(*, claims: Sequence[Claim], due: Sequence[Due]) -> None:
    """Those of the lane that wait with the text of a message that was held for it, inside the transaction of its claim: in their
    order, as many for each hour as may go in one."""
    held = [one.message for one in claims if one.status == "held" and one.lane > 0]
    if held:
        limits = {"default": settings.IDENTICAL_LIMIT or None, "within": IDENTICAL_WITHIN.total_seconds()}
        execute(_HOLD, {"held": held, "due": records(due), "most": LOOKED_THROUGH, **limits})
