"""Every worker stopped in order and started again, one after the other: how long a session is silent beyond its pace."""

import time
from datetime import UTC, datetime
from typing import Any

from restaurant_wa.bench import figures
from restaurant_wa.bench.trial import Trial
from restaurant_wa.local.console import step

_DELAYS = "SELECT wa_id, delay_ms FROM message WHERE delay_ms IS NOT NULL"
_BUSY = "SELECT count(DISTINCT session_id) AS n FROM message WHERE status = 'queued'"


def run(trial: Trial) -> dict[str, Any]:
    """Gaps in seconds, the longest of each session: `longest_gap_s` is the whole silence, `…beyond_pace…` what is left of it
    without the pause that the session's pace had drawn."""
    trial.make_busy()
    began, started = datetime.now(UTC), time.monotonic()
    stops, starts = [], []
    for number in range(1, trial.plan.workers + 1):
        name = f"session-{number}"
        with step(f"Restarting {name}"):
            stops.append(trial.lab.stop(name))
            before = time.monotonic()
            trial.lab.start(name)
            starts.append(time.monotonic() - before)
    took, busy = time.monotonic() - started, int(trial.sql(_BUSY)[0]["n"])
    trial.await_end()
    arrivals = trial.arrivals()
    delays = {row["wa_id"]: row["delay_ms"] for row in trial.sql(_DELAYS)}
    longest = figures.gaps(arrivals, delays, since=began)
    beyond = [one for _, one in longest.values()]
    return {
        "rolling_s": took,
        "longest_stop_s": max(stops),
        "longest_start_s": max(starts),
        "busy_to_the_end": busy,
        "longest_gap_s": max((one for one, _ in longest.values()), default=None),
        "longest_gap_beyond_pace_s": max(beyond, default=None),
        "median_gap_beyond_pace_s": figures.quantile(beyond, 0.5),
        "p95_gap_beyond_pace_s": figures.quantile(beyond, 0.95),
        **trial.verdict(arrivals),
    }
