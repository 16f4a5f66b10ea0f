"""Whether a session ever had two owners: every lease that was ever given is noted, and every change of owner held against it."""

from collections import defaultdict
from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.support.stack import Stack

_NOTE_LEASES = [
    "CREATE TABLE audit_lease (name text, incarnation timestamptz, expires_at timestamptz, at timestamptz)",
    """CREATE FUNCTION audit_lease() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO audit_lease VALUES (NEW.name, NEW.started_at, NEW.expires_at, clock_timestamp()); RETURN NULL; END $$""",
    "CREATE TRIGGER audit_lease AFTER INSERT OR UPDATE ON worker FOR EACH ROW EXECUTE FUNCTION audit_lease()",
]


def note_leases(stack: Stack) -> None:
    for statement in _NOTE_LEASES:
        stack.sql(statement)


def two_owners(stack: Stack) -> list[str]:
    """A line for each claim of a session whose owner before was neither gone nor had let go, and for each odd term."""
    leases: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for lease in stack.sql("SELECT * FROM audit_lease ORDER BY at"):
        leases[lease["name"]].append(lease)
    events: dict[object, list[dict[str, Any]]] = defaultdict(list)
    for event in stack.sql("SELECT * FROM wa_session_event WHERE kind IN ('claimed', 'released') ORDER BY id"):
        events[event["session_id"]].append(event)
    return [f"{session}: {fault}" for session, log in events.items() for fault in _faults(log, leases)]


def _faults(log: list[dict[str, Any]], leases: dict[str, list[dict[str, Any]]]) -> list[str]:
    claims = sorted((event for event in log if event["kind"] == "claimed"), key=lambda event: event["detail"]["term"])
    released = {event["detail"]["term"]: event["at"] for event in log if event["kind"] == "released"}
    terms = [claim["detail"]["term"] for claim in claims]
    faults = [] if terms == list(range(1, len(terms) + 1)) else [f"terms {terms}"]
    for before, after in pairwise(claims):
        let_go = released.get(before["detail"]["term"])
        if not (let_go and let_go <= after["at"]) and not _gone(leases[before["detail"]["worker"]], before["at"], after["at"]):
            faults.append(f"{after['detail']} at {after['at']} while {before['detail']} still held its lease")
    return faults


def _gone(leases: list[dict[str, Any]], claimed: datetime, at: datetime) -> bool:
    """Whether the process that had claimed it was replaced under its name, or without a lease, by then."""
    held = [lease for lease in leases if lease["at"] <= at]
    then = [lease for lease in held if lease["at"] <= claimed]
    return bool(held[-1]["incarnation"] != then[-1]["incarnation"] or held[-1]["expires_at"] <= at)
