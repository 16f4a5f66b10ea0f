"""Warm-up: how many strangers a number may write to on a day, by its good days.

A good day is a calendar day of the restaurant that has ended without a signal from WhatsApp. The figures are practitioners',
none of them is WhatsApp's: 15 to 20 new contacts on the first day and a little less than twice as many each day is what they
report to go well; the ramp here stays below that.
"""

from dataclasses import dataclass
from datetime import date

RAMP = (10, 15, 25, 40, 60, 80)  # strangers a day after 0, 1, … good days


@dataclass(frozen=True, slots=True)
class WarmUp:
    """All dates are days of the restaurant. `started_on`: the number was linked for the first time. `restarted_on`: a
    temporary ban ended. `declared_…`: an operator said then how many good days to take it for."""

    started_on: date
    signal_days: frozenset[date] = frozenset()
    restarted_on: date | None = None
    declared_on: date | None = None
    declared_days: int = 0


def good_days(warm_up: WarmUp, today: date) -> int:
    """Good days before `today`. What was said or what happened last counts: a declaration on top of it, a ban from nothing."""
    since, credit = warm_up.started_on, 0
    if warm_up.restarted_on is not None and warm_up.restarted_on > since:
        since = warm_up.restarted_on
    if warm_up.declared_on is not None and warm_up.declared_on >= since:
        since, credit = warm_up.declared_on, warm_up.declared_days
    bad = sum(since <= day < today for day in warm_up.signal_days) if warm_up.signal_days else 0
    return credit + max(0, (today - since).days - bad)


def strangers_a_day(good: int) -> int | None:
    """The ramp's limit; None once it is over, and the restaurant's own limit stands alone."""
    return RAMP[good] if good < len(RAMP) else None
