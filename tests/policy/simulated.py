"""A session's owner on a simulated clock: it asks the policy, jumps to the instant it names, and sends."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random

from sessions_app.policy.availability import Ready, when
from sessions_app.policy.lanes import Lane
from sessions_app.policy.ledger import Ledger, noted
from sessions_app.policy.priorities import Priority
from sessions_app.policy.reasons import Held
from sessions_app.policy.rules import Number, Policy
from sessions_app.policy.signals import Event
from sessions_app.policy.standing import Standing, folded


@dataclass
class Owner:
    policy: Policy
    number: Number
    now: datetime
    ledger: Ledger = field(default_factory=Ledger)
    dice: Random = field(default_factory=lambda: Random(1))
    sent: list[tuple[Lane, datetime, float]] = field(default_factory=list)  # and the die thrown after it
    standing: Standing = field(default_factory=Standing)

    def ask(self, lane: Lane, priority: Priority = Priority.NORMAL) -> Ready | Held:
        return when(lane, priority, ledger=self.ledger, policy=self.policy, number=self.number, now=self.now)

    def run(self, *lanes: Lane, until: datetime, events: Iterable[Event] = (), priority: Priority = Priority.NORMAL) -> None:
        """There is always a message in each of the lanes; the one that has waited longer goes first when both may. Events are
        heard when they happen."""
        coming = sorted(events, key=lambda event: event.at)
        while self.now < until:
            at, _, lane = min((instant(self.ask(lane, priority)), self._waits_since(lane), lane) for lane in lanes)
            if coming and coming[0].at <= at:
                self.now = max(self.now, coming[0].at)
                self.hear(coming.pop(0))
            elif at > self.now:
                self.now = min(at, until)
            else:
                self.send(lane)

    def send(self, lane: Lane) -> None:
        jitter = self.dice.random()
        self.ledger = noted(self.ledger, lane, at=self.now, jitter=jitter, policy=self.policy)
        self.sent.append((lane, self.now, jitter))

    def hear(self, event: Event) -> None:
        self.standing = folded(self.standing, event, self.policy.zone)
        warm_up = replace(self.number.warm_up, signal_days=self.standing.signal_days, restarted_on=self.standing.restarted_on)
        self.number = Number(warm_up, self.standing.known)

    def _waits_since(self, lane: Lane) -> datetime:
        return self.ledger.of(lane).last_sent_at or datetime.min.replace(tzinfo=UTC)

    def times(self, lane: Lane) -> list[datetime]:
        return [at for one, at, _ in self.sent if one is lane]


def instant(answer: Ready | Held) -> datetime:
    return answer.at if isinstance(answer, Ready) else answer.until
