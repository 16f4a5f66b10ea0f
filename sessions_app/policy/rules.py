"""What a restaurant has set, and what is known of its number: the two things that decide how a session may send."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from zoneinfo import ZoneInfo

from sessions_app.policy.lanes import Lane
from sessions_app.policy.pacing import Pace
from sessions_app.policy.priorities import Priority
from sessions_app.policy.reasons import Reason
from sessions_app.policy.signals import Known
from sessions_app.policy.warmup import RAMP, WarmUp, good_days, strangers_a_day
from sessions_app.policy.windows import Hours, Quiet, opening_hours


@dataclass(frozen=True, slots=True)
class LanePolicy:
    """`per_hour` counts in any 60 minutes, `per_day` on a calendar day of the restaurant, in the cold lane new chats alone;
    None: no limit."""

    pace: Pace
    per_hour: int | None = None
    per_day: int | None = None

    def __post_init__(self) -> None:
        if min(self.per_hour or 1, self.per_day or 1) < 1 or 0 in (self.per_hour, self.per_day):
            raise ValueError("a limit below one message would hold a lane for ever")


# No limit for those who know the number. Practitioners report 100 to 200 messages an hour and 800 to 1,500 a day as the most
# that goes well; none of it is WhatsApp's word, so a restaurant sets its own.
WARM = LanePolicy(Pace(2_000, 10_000))
COLD = LanePolicy(Pace(20_000, 60_000), per_day=RAMP[-1])


@dataclass(frozen=True, slots=True)
class Policy:
    """Made by `policy`. `hours` are the send windows without the quiet hours, `windows` the send windows alone. The warm pace
    is also the pause between any two messages of a number."""

    hours: Hours
    windows: Hours
    urgent_through_quiet: bool = False
    warm: LanePolicy = WARM
    cold: LanePolicy = COLD
    warms_up: bool = True  # off: new chats are counted by `cold.per_day` alone

    @property
    def zone(self) -> ZoneInfo:
        return self.hours.zone

    def of(self, lane: Lane) -> LanePolicy:
        return self.warm if lane is Lane.WARM else self.cold

    def hours_for(self, priority: Priority) -> Hours:
        return self.windows if self.urgent_through_quiet and priority is Priority.URGENT else self.hours


@dataclass(frozen=True, slots=True)
class Number:
    """What is known of the number itself."""

    warm_up: WarmUp
    known: Known = field(default_factory=Known)


def policy(
    zone: ZoneInfo,
    *,
    quiet: Quiet | None = None,
    windows: Mapping[int, Iterable[tuple[time, time]]] | None = None,
    urgent_through_quiet: bool = False,
    warm: LanePolicy = WARM,
    cold: LanePolicy = COLD,
    warms_up: bool = True,
) -> Policy:
    """Raises ValueError when quiet hours and send windows leave no time to send."""
    windows = None if windows is None else {day: list(spans) for day, spans in windows.items()}
    hours = opening_hours(zone, quiet=quiet, windows=windows)
    return Policy(hours, opening_hours(zone, windows=windows), urgent_through_quiet, warm, cold, warms_up)


def day_limit(lane: Lane, rules: Policy, number: Number, on: date) -> tuple[int | None, Reason]:
    """How much the lane may send on that day, and what limits it: the restaurant's own limit, or the warm-up. None: nothing."""
    own = None if lane is Lane.COLD else rules.of(lane).per_day
    ramp = strangers_a_day(good_days(number.warm_up, on)) if lane is Lane.NEW and rules.warms_up else None
    return (own, Reason.DAILY_LIMIT) if ramp is None or (own is not None and own <= ramp) else (ramp, Reason.WARM_UP)
