"""What WhatsApp's signals hold, and until when. Every hold ends by itself; a fresh signal may set a new one.

A ban holds every lane; all else holds the strangers' two: order updates to regulars go on.
"""

from datetime import date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from sessions_app.policy.lanes import Lane
from sessions_app.policy.local_time import wall
from sessions_app.policy.priorities import Priority
from sessions_app.policy.reasons import Held, Reason, longest
from sessions_app.policy.signals import Ban, CapStatus, Connected, Event, Known, NewChatCap, TimeLock

BUFFER = timedelta(minutes=10)  # after the end WhatsApp named; long enough to ask once more whether it is over
STEP = timedelta(hours=6)  # for a restriction without an end: asked about again after that long
LONGEST = timedelta(days=35)  # no end further away than that is believed
SLOWER = 2  # the cold pause after a warning, as a multiple
REFUSALS, REFUSALS_WITHIN, REFUSALS_HOLD = 3, timedelta(hours=1), timedelta(hours=6)
ASKING = timedelta(seconds=60)
DEBOUNCE, ASK_AGAIN = timedelta(seconds=60), timedelta(minutes=15)
PARKED, PARKED_LONGEST = timedelta(hours=24), timedelta(days=14)


def hold(known: Known, lane: Lane, priority: Priority) -> Held | None:
    """The hold that ends last, if there is any; it may have ended already."""
    holds = []
    if (ban := ban_ends_at(known)) is not None:
        holds.append(Held(Reason.BANNED, ban + BUFFER))
    if lane is not Lane.WARM:
        holds += _cold_holds(known, priority)
    return longest(holds) if holds else None


def slow_until(known: Known, lane: Lane) -> datetime | None:
    """Until when a lane's pauses are `SLOWER` times as long: the cold lane's after a warning, to the cycle's end."""
    warned = known.cap is not None and known.cap.status in (CapStatus.FIRST_WARNING, CapStatus.SECOND_WARNING)
    return cap_ends_at(known) if warned and lane is not Lane.WARM else None


def ban_ends_at(known: Known) -> datetime | None:
    ban = known.ban
    if ban is None or (known.connected_at is not None and known.connected_at > ban.at):
        return None
    return _end(ban.at, ban.until)


def lock_ends_at(known: Known) -> datetime | None:
    lock = known.time_lock
    return _end(lock.at, lock.until) if lock is not None and lock.active else None


def cap_ends_at(known: Known) -> datetime | None:
    cap = known.cap
    return _end(cap.at, cap.cycle_ends_at) if cap is not None and cap.status is not CapStatus.NONE else None


def _cold_holds(known: Known, priority: Priority) -> list[Held]:
    holds = []
    if (lock := lock_ends_at(known)) is not None:
        holds.append(Held(Reason.TIME_LOCK, lock + BUFFER))
    if known.cap is not None and (cap := cap_ends_at(known)) is not None:
        if known.cap.status is CapStatus.CAPPED:
            holds.append(Held(Reason.NEW_CHAT_CAP, cap + BUFFER))
        elif known.cap.status is CapStatus.SECOND_WARNING and priority > Priority.HIGH:
            holds.append(Held(Reason.NEW_CHAT_WARNING, cap + BUFFER))
    return holds + _refusal_holds(known) if known.refused else holds


def _refusal_holds(known: Known) -> list[Held]:
    holds, last = [], known.refused[-1]
    if len(known.refused) >= REFUSALS and last - known.refused[-REFUSALS] <= REFUSALS_WITHIN:
        holds.append(Held(Reason.REFUSED, last + REFUSALS_HOLD))
    if refusal_means(known, last) == "ask":
        holds.append(Held(Reason.ASKING, last + ASKING))
    return holds


def _end(said_at: datetime, until: datetime | None) -> datetime:
    """When a restriction that was said to be on at `said_at` ends; an end before that cannot be right."""
    return min(until, said_at + LONGEST) if until is not None and until > said_at else said_at + STEP


# --- What it means for the warm-up


def spoiled_days(event: Event, before: Known, zone: ZoneInfo) -> frozenset[date]:
    """The restaurant's days that are no good ones because of it: that of a signal, and each while strangers may not be written
    to, as far as that was said. `before`: what was known; a warning is told again at each login, and counts when it begins."""
    if isinstance(event, Connected) or (isinstance(event, TimeLock) and not event.active):
        return frozenset()
    if isinstance(event, NewChatCap) and (event.status is CapStatus.NONE or _is_told_again(event, before.cap)):
        return frozenset()
    first = wall(event.at, zone).date()
    last = wall(_end(event.at, event.until), zone).date() if isinstance(event, TimeLock) else first
    return frozenset(first + timedelta(days=n) for n in range((last - first).days + 1))


def _is_told_again(cap: NewChatCap, before: NewChatCap | None) -> bool:
    if before is None or before.at > cap.at:
        return False
    return (before.status, before.cycle_ends_at) == (cap.status, cap.cycle_ends_at)


def still_spoiled(days: frozenset[date], known: Known, zone: ZoneInfo) -> frozenset[date]:
    """Without those that a time-lock had announced, once it was lifted before them. No day of a signal is later than what was
    said last."""
    lock = known.time_lock
    if lock is None or lock.active:
        return days
    said = [lock.at, *(part.at for part in (known.cap, known.ban) if part is not None), *known.refused]
    last = wall(max(said), zone).date()
    return frozenset(day for day in days if day <= last)


def restart_day(event: Event, zone: ZoneInfo) -> date | None:
    """The day on which the warm-up begins anew: a temporary ban ends."""
    return wall(_end(event.at, event.until), zone).date() if isinstance(event, Ban) else None


# --- A refused message (463)


def refusal_means(known: Known, refused_at: datetime) -> Literal["ask", "lane", "contact"]:
    """Whether the time-lock has to be asked for first, holds the whole cold lane, or is off: then it is this contact alone."""
    lock = known.time_lock
    if lock is None or lock.at < refused_at:
        return "ask"
    return "lane" if lock.active else "contact"


def parked_until(refusals: int, last_refused_at: datetime) -> datetime:
    """Until when a contact is not written to: a day after the first refusal, twice as long after each further one."""
    doublings = min(max(refusals, 1) - 1, 10)
    return last_refused_at + min(PARKED * (1 << doublings), PARKED_LONGEST)


# --- Asking WhatsApp


def restricted(known: Known) -> bool:
    """Whether there may be anything to ask at all; of most numbers nothing is known but that they are free."""
    lock, cap = known.time_lock, known.cap
    told_free = (lock is None or not lock.active) and (cap is None or cap.status is CapStatus.NONE)
    return not told_free or bool(known.refused) or known.connected_at is not None


def ask_at(known: Known, last_asked_at: datetime | None) -> datetime | None:
    """When to ask for the time-lock and the new-chat cap: after each login, after a 463, when a restriction is said to end;
    a minute apart at least, and again after a quarter of an hour without an answer. None: nothing to ask."""
    lock = known.time_lock.at if known.time_lock is not None else None
    cap = known.cap.at if known.cap is not None else None
    login, refusal = known.connected_at, known.refused[-1] if known.refused else None
    wanted = [(login, lock), (login, cap), (refusal, lock), (lock_ends_at(known), lock), (cap_ends_at(known), cap)]
    due = [_due(need, last_asked_at) for need, told_at in wanted if need is not None and (told_at is None or told_at < need)]
    return min(due, default=None)


def _due(need: datetime, last_asked_at: datetime | None) -> datetime:
    if last_asked_at is None:
        return need
    return max(need, last_asked_at + DEBOUNCE) if last_asked_at < need else last_asked_at + ASK_AGAIN
