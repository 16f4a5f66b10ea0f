"""How a webhook is signed, what an answer means, and when it is tried again. Standard Webhooks 1.0 (standardwebhooks.com)."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Literal

SECRET_PREFIX = "whsec_"
SECRET_BYTES = 32

# After the first failed attempt, the second, and so on: three days in all.
PAUSES = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=5),
    timedelta(minutes=30),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24)),
)
JITTER = 0.2  # of a pause, on top of it
LONGEST_WISH = timedelta(hours=24)  # Retry-After of the other side
PROBE_PAUSE, LONGEST_PROBE_PAUSE = timedelta(seconds=1), timedelta(seconds=60)
LEASE = timedelta(seconds=60)  # an attempt that has not been settled by then is made again
OUTAGE = 3  # failures in a row: then it was the other side, and not what it was sent

GONE, TOO_MANY, UNAVAILABLE = 410, 429, 503


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one attempt. `status` None: no answer came, and `error` says why."""

    status: int | None
    error: str = ""
    retry_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    next: Literal["delivered", "again", "failed"]
    retry_at: datetime | None = None
    gone: bool = False  # the other side wants no more of any


def judge(answer: Answer, *, attempts: int, now: datetime, jitter: float) -> Verdict:
    """`attempts` with this one; `jitter` from 0 to 1."""
    if answer.status is not None and 200 <= answer.status < 300:
        return Verdict("delivered")
    if answer.status == GONE:
        return Verdict("failed", gone=True)
    if attempts > len(PAUSES):
        return Verdict("failed")
    pause = PAUSES[attempts - 1] * (1 + JITTER * jitter)
    return Verdict("again", now + max(pause, min(answer.retry_after or timedelta(), LONGEST_WISH)))


def probe_pause(failures: int) -> timedelta:
    """How long nothing goes to an address whose last `failures` attempts have failed; then one at a time does."""
    return min(PROBE_PAUSE * (1 << min(failures - 1, 10)), LONGEST_PROBE_PAUSE) if failures else timedelta()


def sign(secrets: Sequence[str], *, event_id: str, at: datetime, body: bytes) -> str:
    """The header `webhook-signature`: one signature for each secret. `at` is the attempt's time, whole seconds count."""
    content = f"{event_id}.{int(at.timestamp())}.".encode() + body
    return " ".join(f"v1,{_digest(secret, content)}" for secret in secrets)


def _digest(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """What a Retry-After header says, seconds or an HTTP date; None for what cannot be read."""
    if not value:
        return None
    if value.isascii() and value.isdecimal() and len(value) < 10:
        return timedelta(seconds=int(value))
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
