"""What WhatsApp holds a number back from, in plain words and until when. Pure: the caller passes the clock in."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sessions_app.admin.words import Tone
from sessions_app.policy.lanes import Lane
from sessions_app.policy.priorities import Priority
from sessions_app.policy.reasons import Reason
from sessions_app.policy.restrictions import BUFFER, ban_ends_at, cap_ends_at, hold, lock_ends_at
from sessions_app.policy.signals import CapStatus, Known, NewChatCap

_CAPS: dict[CapStatus, tuple[str, str]] = {
    CapStatus.FIRST_WARNING: ("New chats running out", "Strangers are written to half as often."),
    CapStatus.SECOND_WARNING: ("New chats nearly used up", "Only urgent and high messages go to strangers."),
    CapStatus.CAPPED: ("No new chats left", "Messages to strangers wait."),
}


@dataclass(frozen=True)
class Notice:
    title: str
    text: str
    tone: Tone
    until: datetime


def notices(known: Known, now: datetime) -> list[Notice]:
    """Those that last at `now`, the gravest first."""
    return [notice for notice in _all(known) if notice.until > now]


def _all(known: Known) -> Iterator[Notice]:
    if (ban := ban_ends_at(known)) is not None:
        yield Notice("Banned for a while", "WhatsApp lets this number send nothing. Its messages wait.", "bad", ban + BUFFER)
    if (lock := lock_ends_at(known)) is not None:
        text = "WhatsApp does not let this number write to strangers. Customers who have written to it get their messages."
        yield Notice("No messages to strangers", text, "bad", lock + BUFFER)
    if known.cap is not None and (cap := cap_ends_at(known)) is not None:
        yield _cap(known.cap, cap)
    if (held := hold(known, Lane.NEW, Priority.URGENT)) is not None and held.reason == Reason.REFUSED:
        text = "WhatsApp has refused several messages to strangers. Until it has calmed down, strangers are not written to."
        yield Notice("Strangers refused", text, "warn", held.until)


def _cap(cap: NewChatCap, ends_at: datetime) -> Notice:
    title, consequence = _CAPS[cap.status]
    used = (
        f"{cap.used} of the {cap.total} new chats that WhatsApp allows are used" if cap.total else "WhatsApp warns of its limit"
    )
    capped = cap.status is CapStatus.CAPPED
    return Notice(title, f"{used}. {consequence}", "bad" if capped else "warn", ends_at + BUFFER if capped else ends_at)
