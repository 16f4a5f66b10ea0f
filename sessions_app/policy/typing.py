"""How long the customer sees "typing…" before a message, and from when.

The typing lies inside the pause: it begins that long before the message's slot, so that the pause between two messages is the
one that was drawn. A message that comes to an idle session is typed first, too: then it goes that much after its slot.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

_MS = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Typing:
    start_at: datetime
    typing_ms: int
    send_at: datetime  # when the typing is over; never before the slot


def typing_ms(characters: int, *, per_character_ms: int, limit_ms: int) -> int:
    """Milliseconds of typing for a text of that length: proportional to it, and never more than the limit."""
    return max(0, min(characters * per_character_ms, limit_ms))


def typing_plan(*, slot: datetime, now: datetime, last_sent_at: datetime | None, typing_ms: int) -> Typing:
    """For a message claimed at `now`. Whoever claims at `claim_at` or sooner sends at the slot exactly."""
    shown = typing_ms if last_sent_at is None else min(typing_ms, max(0, (max(slot, now) - last_sent_at) // _MS))
    start_at = max(now, slot - shown * _MS)
    return Typing(start_at, shown, start_at + shown * _MS)


def claim_at(*, slot: datetime, last_sent_at: datetime | None, limit_ms: int) -> datetime:
    """How early a slot's message has to be claimed for the longest typing to fit before the slot."""
    earliest = slot - limit_ms * _MS
    return earliest if last_sent_at is None else max(earliest, min(last_sent_at, slot))
