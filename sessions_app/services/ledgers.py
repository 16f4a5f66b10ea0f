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
    """The same pauses as before. The hour is told from quarters, as if all of one had been sent at its end: a new owner is
    never too early."""
    day = local_day(policy.zone, now)
    last_was_cold = sent.cold_sent_at is not None and sent.cold_sent_at == sent.last_sent_at
    warm = Tally(None if last_was_cold else sent.last_sent_at, _die(policy.warm.pace, sent.next_delay_ms))
    cold = Tally(sent.cold_sent_at, _die(policy.cold.pace, sent.cold_delay_ms))
    return Ledger(
        warm=_counted(warm, [one for one in quarters if one.lane == _WARM], {_WARM}, day, now),
        cold=_counted(cold, [one for one in quarters if one.lane != _WARM], {_NEW}, day, now),
    )


def recounted(ledger: Ledger, quarters: Sequence[Quarter], now: datetime) -> Ledger:
    """With the hour of both tallies told anew: under a new limit, for which not enough of it was kept."""
    warm = [one for one in quarters if one.lane == _WARM]
    cold = [one for one in quarters if one.lane != _WARM]
    return Ledger(replace(ledger.warm, hour=_hour(warm, now)), replace(ledger.cold, hour=_hour(cold, now)))


def of_another_number(ledger: Ledger) -> Ledger:
    """The same pauses, and nothing counted."""
    return Ledger(replace(ledger.warm, hour=(), sent_on_day=0), replace(ledger.cold, hour=(), sent_on_day=0))


def _counted(tally: Tally, quarters: Sequence[Quarter], budgeted: set[int], day: Day, now: datetime) -> Tally:
    on_day = sum(one.sent for one in quarters if one.lane in budgeted and one.starts_at >= day.starts_at)
    return replace(tally, hour=_hour(quarters, now), day=day, sent_on_day=on_day)


def _hour(quarters: Sequence[Quarter], now: datetime) -> tuple[datetime, ...]:
    ends = [(min(one.starts_at + QUARTER, now), one.sent) for one in quarters]
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
