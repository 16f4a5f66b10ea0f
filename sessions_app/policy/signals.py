"""What WhatsApp has said about a number: its events, and what is known after any of them, in any order, told any number of times.

Every part of `Known` is the greatest of what was said, by the time it was said. So folding is the same in every order, and
twice is as good as once.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

REFUSALS_KEPT = 3
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class CapStatus(StrEnum):
    """WhatsApp's words for how much of the monthly quota of new chats is gone."""

    NONE = "NONE"
    FIRST_WARNING = "FIRST_WARNING"
    SECOND_WARNING = "SECOND_WARNING"
    CAPPED = "CAPPED"


@dataclass(frozen=True, slots=True)
class TimeLock:
    """Asked for or pushed: while active, strangers may not be written to. `until` None: WhatsApp named no end."""

    at: datetime
    active: bool
    until: datetime | None = None
    kind: str = ""


@dataclass(frozen=True, slots=True)
class NewChatCap:
    at: datetime
    status: CapStatus
    used: int = 0
    total: int = 0
    cycle_ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Ban:
    """A connection was refused because of a temporary ban."""

    at: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A message was answered with 463."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Connected:
    """The number has logged in: no ban holds it any more."""

    at: datetime


Event = TimeLock | NewChatCap | Ban | Refused | Connected


@dataclass(frozen=True, slots=True)
class Known:
    time_lock: TimeLock | None = None
    cap: NewChatCap | None = None
    ban: Ban | None = None
    refused: tuple[datetime, ...] = ()  # the last refusals, oldest first
    connected_at: datetime | None = None


def fold(known: Known, event: Event) -> Known:
    """The knowledge with one more event. Of two said at the same instant the graver counts."""
    match event:
        case TimeLock():
            return replace(known, time_lock=max(known.time_lock or event, event, key=_lock_order))
        case NewChatCap():
            return replace(known, cap=max(known.cap or event, event, key=_cap_order))
        case Ban():
            return replace(known, ban=max(known.ban or event, event, key=lambda ban: (ban.at, ban.until or _NEVER)))
        case Refused():
            return replace(known, refused=tuple(sorted({*known.refused, event.at})[-REFUSALS_KEPT:]))
        case Connected():
            return replace(known, connected_at=max(known.connected_at or event.at, event.at))


def cap_status(word: str) -> CapStatus:
    """WhatsApp's word; one of a later version counts as a first warning."""
    return CapStatus(word) if word in CapStatus.__members__ else CapStatus.FIRST_WARNING


def _lock_order(lock: TimeLock) -> tuple[datetime, bool, datetime, str]:
    return lock.at, lock.active, lock.until or _NEVER, lock.kind


def _cap_order(cap: NewChatCap) -> tuple[datetime, int, datetime, int, int]:
    return cap.at, list(CapStatus).index(cap.status), cap.cycle_ends_at or _NEVER, cap.used, cap.total
