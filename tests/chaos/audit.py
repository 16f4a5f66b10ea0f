"""Whether a session ever had two owners. The database itself notes, as each claim commits, how its former owner stood at that
moment, so that nothing here compares the times of two moments: the clock may have been set between them."""

from collections import defaultdict
from itertools import pairwise
from typing import Any

from tests.support.stack import Stack

# Deferred: it looks when everything else of the transaction is done, and sees what others have committed meanwhile.
_NOTE_CLAIMS = [
    """CREATE TABLE audit_claim (id bigserial, session uuid, term bigint, owner text, incarnation bigint,
           former text, former_incarnation bigint, former_lease_s float8, former_beat_s float8, former_drains boolean)""",
    """CREATE FUNCTION audit_claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO audit_claim (session, term, owner, incarnation, former, former_incarnation, former_lease_s,
                                    former_beat_s, former_drains)
           SELECT NEW.id, NEW.term, w.name, w.incarnation, f.name, f.incarnation,
                  extract(epoch FROM f.expires_at - clock_timestamp()),
                  extract(epoch FROM clock_timestamp() - f.heartbeat_at), f.draining
           FROM worker w LEFT JOIN worker f ON f.id = OLD.owner_id WHERE w.id = NEW.owner_id;
           RETURN NULL; END $$""",
    """CREATE CONSTRAINT TRIGGER audit_claim AFTER UPDATE ON wa_session DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
           WHEN (NEW.term IS DISTINCT FROM OLD.term) EXECUTE FUNCTION audit_claim()""",
]

# At one moment: sessions still move to whoever has just thawed.
_CLAIMS = """
    SELECT a.*, (SELECT array_agg((e.detail->>'term')::bigint ORDER BY e.id) FROM wa_session_event e
                 WHERE e.session_id = a.session AND e.kind = 'claimed') AS told
    FROM audit_claim a ORDER BY a.id"""


def note_claims(stack: Stack) -> None:
    for statement in _NOTE_CLAIMS:
        stack.sql(statement)


def two_owners(stack: Stack, *, lease_s: float | None) -> list[str]:
    """A line for each claim of a session whose owner before was neither gone nor had let go, and for each odd term. Who claims
    ends the former owner's lease, which says nothing of whether it had run out: its last heartbeat has to be as old as a lease.
    None: the clock was set, and no age can be told."""
    claims: dict[object, list[dict[str, Any]]] = defaultdict(list)
    told: dict[object, list[int]] = {}
    for claim in stack.sql(_CLAIMS):
        claims[claim["session"]].append(claim)
        told[claim["session"]] = claim["told"] or []
    faults = [f"{session}: {fault}" for session, log in claims.items() for fault in _faults(log, told[session], lease_s)]
    return faults + [f"{row['id']}: {row['name']} goes on under the term of the process before it" for row in _inherited(stack)]


def _inherited(stack: Stack) -> list[dict[str, Any]]:
    """Owned now by another process than the one whose claim made the term: that one, too, could write under it."""
    return stack.sql(
        """SELECT s.id, w.name FROM wa_session s JOIN worker w ON w.id = s.owner_id
           JOIN audit_claim a ON a.session = s.id AND a.term = s.term
           WHERE w.expires_at > clock_timestamp() AND (w.name, w.incarnation) <> (a.owner, a.incarnation)"""
    )


def _faults(log: list[dict[str, Any]], told: list[int], lease_s: float | None) -> list[str]:
    terms = [claim["term"] for claim in log]
    faults = [] if terms == told == list(range(1, len(terms) + 1)) else [f"terms {terms}, told {told}"]
    return faults + [
        f"{after} while {before} was its owner" for before, after in pairwise(log) if not _gone(before, after, lease_s)
    ]


def _gone(before: dict[str, Any], after: dict[str, Any], lease_s: float | None) -> bool:
    """It had let go, or its lease had run out, or the process that had claimed it was replaced under its name."""
    if after["former"] is None:
        return True
    if before["owner"] == after["former"] and before["incarnation"] != after["former_incarnation"]:
        return True
    silent = lease_s is None or after["former_beat_s"] >= lease_s
    return bool(after["former_lease_s"] <= 0 and (silent or after["former_drains"]))
