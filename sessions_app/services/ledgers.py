"""A session's ledger, told from its row and its tallies: for the owner that takes it over, and for pages."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from sessions_app.models import Message
from sessions_app.policy.budgets import HOUR, Tally
from sessions_app.policy.ledger import Ledger
from sessions_app.policy.local_time import Day, local_day
from sessions_app.policy.pacing import Pace
from sessions_app.policy.rules import Policy
from sessions_app.services.tallies import Quarter

QUARTER = timedelta(minutes=15)
_WARM, _NEW = Message.Lane.WARM, Message.Lane.NEW


class Sent(Protocol):
    """A session's row, or what an owner has read of it."""

    @property
    def last_sent_at(self) -> datetime | None: ...
    @property
    def next_delay_ms(self) -> int: ...
    @property
    def cold_sent_at(self) -> datetime | None: ...
    @property
    def cold_delay_ms(self) -> int: ...


def of_session(sent: Sent, quarters: Sequence[Quarter], *, policy: Policy, now: datetime) -> Ledger:
    """The same pauses as before. The hour is told from quarters, as if all of one had been sent at its end, or with the last that
    was sent at all: a new owner is never too early."""
    last_was_cold = sent.cold_sent_at is not None and sent.cold_sent_at == sent.last_sent_at
    warm = Tally(None if last_was_cold else sent.last_sent_at, _die(policy.warm.pace, sent.next_delay_ms))
    cold = Tally(sent.cold_sent_at, _die(policy.cold.pace, sent.cold_delay_ms))
    return _ledger(warm, cold, quarters, policy, now)


def recounted(ledger: Ledger, quarters: Sequence[Quarter], *, policy: Policy, now: datetime) -> Ledger:
    """The same pauses, and hour and day told anew: under a new limit, for which not enough of the hour was kept, or by another
    clock, which has another day."""
    return _ledger(ledger.warm, ledger.cold, quarters, policy, now)


def of_another_number(ledger: Ledger) -> Ledger:
    """The same pauses, and nothing counted."""
    return Ledger(replace(ledger.warm, hour=(), sent_on_day=0), replace(ledger.cold, hour=(), sent_on_day=0))


def _ledger(warm: Tally, cold: Tally, quarters: Sequence[Quarter], policy: Policy, now: datetime) -> Ledger:
    day, last = local_day(policy.zone, now), min(now, max(filter(None, (warm.last_sent_at, cold.last_sent_at)), default=now))
    to_regulars = [one for one in quarters if one.lane == _WARM]
    to_strangers = [one for one in quarters if one.lane != _WARM]
    return Ledger(
        warm=replace(warm, hour=_hour(to_regulars, last, now), day=day, sent_on_day=_on(day, to_regulars)),
        cold=replace(cold, hour=_hour(to_strangers, last, now), day=day, sent_on_day=_on(day, to_strangers, _NEW)),
    )


def _on(day: Day, quarters: Sequence[Quarter], lane: int = _WARM) -> int:
    return sum(one.sent for one in quarters if one.lane == lane and one.starts_at >= day.starts_at)


def _hour(quarters: Sequence[Quarter], last: datetime, now: datetime) -> tuple[datetime, ...]:
    ends = [(min(one.starts_at + QUARTER, last), one.sent) for one in quarters]
    return tuple(sorted(at for at, sent in ends if at > now - HOUR for _ in range(sent)))


def _die(pace: Pace, delay_ms: int) -> float:
    """The throw that gave this pause; a pace that was changed since gives one of its own ends at most."""
    span = pace.max_ms - pace.min_ms
    return min(max((delay_ms - pace.min_ms) / span, 0.0), 1.0) if span else 0.0


def shifted(ledger: Ledger, step: timedelta) -> Ledger:
    """The clock that all its times were read from has been set by `step`."""
    return Ledger(_moved(ledger.warm, step), _moved(ledger.cold, step))


def _moved(tally: Tally, step: timedelta) -> Tally:
    last = tally.last_sent_at
    return replace(tally, last_sent_at=last and last + step, hour=tuple(at + step for at in tally.hour))
