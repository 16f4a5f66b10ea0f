"""What waits for a time of its own is out of its lane's line until then: however much of it there is, no claim reads past it."""

from collections.abc import Sequence

from sessions_app.services.claims import HELD_NO_MORE, Due
from sessions_app.services.sql import execute

AT_ONCE = 200  # of each session: after days offline all that was held may be due

# What somebody else holds is being withdrawn or warmed.
_LET_IN = f"""
    WITH over AS MATERIALIZED (
        SELECT o.id FROM unnest(%(sessions)s::uuid[]) AS due(id), LATERAL (
            SELECT m.id FROM message m WHERE m.session_id = due.id AND {HELD_NO_MORE}
            ORDER BY m.not_before LIMIT %(most)s FOR NO KEY UPDATE SKIP LOCKED) o
    )
    UPDATE message m SET held = false FROM over WHERE m.id = over.id"""


def let_in(*, due: Sequence[Due]) -> None:
    """Those that may go by now take their places, inside the transaction of the claim and before it: else what was accepted
    later would overtake them."""
    execute(_LET_IN, {"sessions": [one.session for one in due], "most": AT_ONCE}, often=True)
