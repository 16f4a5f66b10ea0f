"""Holds of one message, whatever its lane may do: its customer had one just now, or too many strangers had the same text."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import blake2b

from sessions_app.policy.lanes import Lane
from sessions_app.policy.reasons import Held, Reason
from sessions_app.policy.restrictions import parked_until

# The longest warm pause: it spreads a burst to one customer, and costs a session with a single customer little.
RECIPIENT_GAP = timedelta(seconds=10)
IDENTICAL_TEXTS = 10
IDENTICAL_WITHIN = timedelta(hours=1)
_SPACES = re.compile(r"\s+")


def text_key(text: str) -> bytes:
    """16 bytes that are equal for texts that differ in case and spaces alone."""
    return blake2b(_SPACES.sub(" ", text.strip()).casefold().encode("utf-8", "replace"), digest_size=16).digest()


def recipient_hold(last_sent_to_at: datetime | None, *, gap: timedelta = RECIPIENT_GAP) -> Held | None:
    """`last_sent_to_at`: this number's last message to this customer."""
    return None if last_sent_to_at is None else Held(Reason.RECIPIENT_GAP, last_sent_to_at + gap)


def identical_text_hold(
    strangers_at: Sequence[datetime], lane: Lane, *, limit: int = IDENTICAL_TEXTS, warm_too: bool = False
) -> Held | None:
    """`strangers_at`: when this text last went to each of the other strangers who got it, oldest first; the last `limit` of
    them are enough. The hold ends when fewer than `limit` of them lie within the hour."""
    if (lane is Lane.WARM and not warm_too) or len(strangers_at) < limit:
        return None
    return Held(Reason.IDENTICAL_TEXT, strangers_at[-limit] + IDENTICAL_WITHIN)


def parked_hold(refusals: int, last_refused_at: datetime | None) -> Held | None:
    """`refusals`: how often WhatsApp has refused this contact (463) with the time-lock off, since it last took one."""
    if last_refused_at is None or refusals < 1:
        return None
    return Held(Reason.CONTACT_PARKED, parked_until(refusals, last_refused_at))
