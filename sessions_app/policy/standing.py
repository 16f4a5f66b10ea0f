"""What is known of a number and what of that counts for its warm-up: folded from facts that come in any order and any number of
times. What comes late costs a day of the warm-up too many at most.
"""

from dataclasses import dataclass, replace
from datetime import date
from zoneinfo import ZoneInfo

from sessions_app.policy.restrictions import restart_day, spoiled_days, still_spoiled
from sessions_app.policy.signals import Event, Known, fold

KEPT_SIGNAL_DAYS = 400  # the warm-up is over long before


NOTHING_KNOWN = Known()


@dataclass(frozen=True, slots=True)
class Standing:
    """`signal_days` are days of the restaurant; on `restarted_on` the last ban ends: the warm-up begins anew."""

    known: Known = NOTHING_KNOWN
    signal_days: frozenset[date] = frozenset()
    restarted_on: date | None = None


def folded(standing: Standing, event: Event, zone: ZoneInfo) -> Standing:
    known = fold(standing.known, event)
    days = still_spoiled(standing.signal_days | spoiled_days(event, standing.known, zone), known, zone)
    latest = max((day for day in (restart_day(event, zone), standing.restarted_on) if day), default=None)
    kept = frozenset(sorted(days)[-KEPT_SIGNAL_DAYS:])
    return replace(standing, known=known, signal_days=kept, restarted_on=latest)
