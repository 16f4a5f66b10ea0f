"""kill -9 of one of several workers under load: how long until its sessions send again."""

from datetime import UTC, datetime
from typing import Any

from restaurant_wa.bench import figures
from restaurant_wa.bench.trial import Trial

VICTIM = "session-1"
_OWNED = """
    SELECT s.name FROM wa_session s JOIN worker w ON w.id = s.owner_id WHERE w.name LIKE %s"""
_CLAIMED = """
    SELECT s.name, min(e.at) AS at FROM wa_session_event e JOIN wa_session s ON s.id = e.session_id
    WHERE e.kind = 'claimed' AND e.at > %s GROUP BY s.name"""


def run(trial: Trial) -> dict[str, Any]:
    """Times in seconds since the kill: the first session claimed by another worker, the first and the last session whose next
    message was shown. A time is null when that never happened."""
    trial.make_busy()
    orphans = {int(row["name"]) for row in trial.sql(_OWNED, f"{VICTIM}@%")}
    killed_at = datetime.now(UTC)
    trial.lab.kill(VICTIM)
    trial.say(f"killed {VICTIM}, which owned {len(orphans)} sessions")
    trial.await_end()
    claimed = {int(row["name"]): row["at"] for row in trial.sql(_CLAIMED, killed_at) if int(row["name"]) in orphans}
    arrivals = trial.arrivals()
    again = figures.first_after(arrivals, claimed)
    claims = [(at - killed_at).total_seconds() for at in claimed.values()]
    sends = [(at - killed_at).total_seconds() for at in again.values()]
    return {
        "orphans": len(orphans),
        "detect_s": min(claims, default=None),
        "all_claimed_s": max(claims) if len(claims) == len(orphans) else None,
        "first_send_s": min(sends, default=None),
        "median_send_s": figures.quantile(sends, 0.5),
        "all_sessions_s": max(sends, default=None) if len(sends) == len(orphans) else None,
        **trial.verdict(arrivals),
    }
