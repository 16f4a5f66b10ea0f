"""What a session has sent, to regulars and to strangers: all that its pace and its budgets need, kept in memory by its owner.

A new owner builds it from the tallies, and notes each send that went over the wire. About 56 bytes for each message that an
hourly limit allows.
"""

from dataclasses import dataclass, field
from datetime import datetime

from sessions_app.policy.budgets import Tally, counted
from sessions_app.policy.lanes import Lane
from sessions_app.policy.rules import Policy


@dataclass(frozen=True, slots=True)
class Ledger:
    warm: Tally = field(default_factory=Tally)
    cold: Tally = field(default_factory=Tally)

    def of(self, lane: Lane) -> Tally:
        return self.warm if lane is Lane.WARM else self.cold

    @property
    def latest(self) -> Tally:
        """The lane that sent last: the pause between any two messages counts from there. Of two in one instant the first drew no
        pause, so the higher throw is the second's."""
        warm, cold = self.warm, self.cold
        if warm.last_sent_at is None or cold.last_sent_at is None:
            return cold if warm.last_sent_at is None else warm
        return cold if (cold.last_sent_at, cold.jitter) > (warm.last_sent_at, warm.jitter) else warm


def noted(ledger: Ledger, lane: Lane, *, at: datetime, jitter: float, policy: Policy) -> Ledger:
    """The ledger after a send. `jitter`: a new die, uniform over [0, 1), for the pause that follows."""
    per_hour = policy.of(lane).per_hour
    tally = counted(ledger.of(lane), at, jitter, policy.zone, per_hour=per_hour, budgeted=lane is not Lane.COLD)
    return Ledger(tally, ledger.cold) if lane is Lane.WARM else Ledger(ledger.warm, tally)
