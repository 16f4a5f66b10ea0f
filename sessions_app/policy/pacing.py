"""How long a session pauses between two messages: drawn once after each, from its lane's shortest and longest pause."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Pace:
    """The shortest and the longest pause between two messages of a session, in milliseconds."""

    min_ms: int
    max_ms: int

    def __post_init__(self) -> None:
        if not 0 <= self.min_ms <= self.max_ms:
            raise ValueError(f"a pace needs 0 <= shortest <= longest, not {self.min_ms} and {self.max_ms} ms")

    @property
    def mean(self) -> timedelta:
        return timedelta(milliseconds=(self.min_ms + self.max_ms) / 2)


@dataclass(frozen=True, slots=True)
class History:
    """What a session has sent so far, as far as its pace needs to know."""

    last_sent_at: datetime | None = None


def effective_pace(*, default: Pace, min_ms: int | None, max_ms: int | None) -> Pace:
    """A restaurant's own pace over the installation's default; one given bound pushes the other where they would cross."""
    if min_ms is None and max_ms is None:
        return default
    if min_ms is None:
        assert max_ms is not None
        return Pace(min(default.min_ms, max_ms), max_ms)
    return Pace(min_ms, max(min_ms, default.max_ms) if max_ms is None else max_ms)


def delay_ms(policy: Pace, jitter: float) -> int:
    """The pause for one throw of `jitter`, which is uniform over [0, 1)."""
    return policy.min_ms + round((policy.max_ms - policy.min_ms) * jitter)


def next_send_at(policy: Pace, history: History, now: datetime, jitter: float) -> datetime:
    """When the next message may go: a pause after the last one, and at once for a session that has been idle that long."""
    if history.last_sent_at is None:
        return now
    return max(now, history.last_sent_at + timedelta(milliseconds=delay_ms(policy, jitter)))


def slowed_send_at(
    policy: Pace, factor: int, slow_until: datetime | None, history: History, now: datetime, jitter: float
) -> datetime:
    """The same with the pause `factor` times as long, as long as it would end before `slow_until`; at that moment the plain
    pause holds again. Asking later never gives an earlier answer."""
    plain = next_send_at(policy, history, now, jitter)
    if slow_until is None or history.last_sent_at is None:
        return plain
    slow = history.last_sent_at + timedelta(milliseconds=factor * delay_ms(policy, jitter))
    return max(plain, min(slow, slow_until))
