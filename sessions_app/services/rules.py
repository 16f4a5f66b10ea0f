"""What a restaurant has set, over the installation's defaults, in the words of policy."""

import json
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.conf import settings

from sessions_app.models import Restaurant
from sessions_app.models.restaurants import windows_of
from sessions_app.policy.local_time import wall
from sessions_app.policy.pacing import Pace, effective_pace
from sessions_app.policy.rules import LanePolicy, Number, Policy, policy
from sessions_app.policy.standing import Standing
from sessions_app.policy.warmup import WarmUp
from sessions_app.policy.windows import Quiet


class Chosen(NamedTuple):
    """A restaurant's columns that decide how its numbers send. Hashable, so that those who chose the same share one policy."""

    time_zone: str
    pace_min_delay_ms: int | None
    pace_max_delay_ms: int | None
    cold_min_delay_ms: int | None
    cold_max_delay_ms: int | None
    hourly_limit: int | None
    daily_limit: int | None
    strangers_daily_limit: int | None
    protect_strangers: bool
    quiet_from: time | None
    quiet_until: time | None
    urgent_through_quiet: bool
    send_windows: str  # JSON; empty: at any time
    recipient_gap_s: int | None
    identical_limit: int | None


COLUMNS = ", ".join(f"COALESCE(r.{name}::text, '')" if name == "send_windows" else f"r.{name}" for name in Chosen._fields)


class Defaults(NamedTuple):
    """The installation's."""

    warm: Pace
    cold: Pace
    strangers_a_day: int | None
    warms_up: bool
    identical: int | None
    gap_s: int


class Rules(NamedTuple):
    policy: Policy
    protects: bool  # strangers have a lane of their own
    gap: timedelta  # between two messages to one customer
    identical: int | None  # strangers who may have one text within an hour; None: any number


def of_restaurant(restaurant: Restaurant) -> Rules:
    windows = "" if restaurant.send_windows is None else json.dumps(restaurant.send_windows)
    values = {name: getattr(restaurant, name) for name in Chosen._fields if name != "send_windows"}
    return of(Chosen(send_windows=windows, **values))


def of(chosen: Chosen) -> Rules:
    """Raises nothing: what was saved has been checked; hours that leave no time to send at all count as none."""
    return _rules(chosen, _defaults())


def _defaults() -> Defaults:
    return Defaults(
        warm=Pace(settings.PACE_MIN_DELAY_MS, settings.PACE_MAX_DELAY_MS),
        cold=Pace(settings.COLD_MIN_DELAY_MS, settings.COLD_MAX_DELAY_MS),
        strangers_a_day=settings.STRANGERS_DAILY_LIMIT or None,
        warms_up=settings.WARM_UP,
        identical=settings.IDENTICAL_LIMIT or None,
        gap_s=settings.RECIPIENT_GAP_S,
    )


@lru_cache(maxsize=10_000)
def _rules(chosen: Chosen, default: Defaults) -> Rules:
    pace = effective_pace(default=default.warm, min_ms=chosen.pace_min_delay_ms, max_ms=chosen.pace_max_delay_ms)
    warm = LanePolicy(pace, per_hour=chosen.hourly_limit, per_day=chosen.daily_limit)
    cold = _cold(chosen, default) if chosen.protect_strangers else warm
    gap = default.gap_s if chosen.recipient_gap_s is None else chosen.recipient_gap_s
    warms_up = chosen.protect_strangers and default.warms_up
    return Rules(
        _policy(chosen, warm, cold, warms_up=warms_up),
        chosen.protect_strangers,
        timedelta(seconds=gap),
        chosen.identical_limit or default.identical,
    )


def number(
    *,
    standing: Standing,
    first_linked_at: datetime | None,
    declared_days: int | None,
    declared_on: date | None,
    zone: ZoneInfo,
    now: datetime,
) -> Number:
    """What is known of the number, for its warm-up and its holds."""
    started = wall(first_linked_at or now, zone).date()
    declared = (declared_on, declared_days) if declared_on is not None and declared_days is not None else (None, 0)
    warm_up = WarmUp(started, standing.signal_days, standing.restarted_on, declared[0], declared[1])
    return Number(warm_up, standing.known)


def _cold(chosen: Chosen, default: Defaults) -> LanePolicy:
    pace = effective_pace(default=default.cold, min_ms=chosen.cold_min_delay_ms, max_ms=chosen.cold_max_delay_ms)
    return LanePolicy(pace, per_hour=chosen.hourly_limit, per_day=chosen.strangers_daily_limit or default.strangers_a_day)


def _policy(chosen: Chosen, warm: LanePolicy, cold: LanePolicy, *, warms_up: bool) -> Policy:
    zone, through = ZoneInfo(chosen.time_zone), chosen.urgent_through_quiet
    options: dict[str, Any] = {"urgent_through_quiet": through, "warm": warm, "cold": cold, "warms_up": warms_up}
    quiet = _quiet(chosen)
    windows = windows_of(json.loads(chosen.send_windows)) if chosen.send_windows else None
    try:
        return policy(zone, quiet=quiet, windows=windows, **options)
    except ValueError:
        return policy(zone, **options)


def _quiet(chosen: Chosen) -> Quiet | None:
    begin, end = chosen.quiet_from, chosen.quiet_until
    return None if begin is None or end is None or begin == end else Quiet(begin, end)
