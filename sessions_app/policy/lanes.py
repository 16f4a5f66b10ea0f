"""Warm and cold: who has written to us, and who has not. Each lane has its own pace, counters and budgets."""

from datetime import datetime, timedelta
from enum import StrEnum


class Lane(StrEnum):
    WARM = "warm"  # the customer has written to this number, or WhatsApp has given it a token for them
    COLD = "cold"  # a stranger: what WhatsApp restricts numbers for


def lane_of(*, last_inbound_at: datetime | None, now: datetime, trusted: bool = False, warm_for: timedelta | None = None) -> Lane:
    """`trusted`: a valid trusted-contact token is held. `warm_for`: how long a customer's last message keeps them warm;
    None: for good."""
    if trusted:
        return Lane.WARM
    if last_inbound_at is None:
        return Lane.COLD
    return Lane.WARM if warm_for is None or now - last_inbound_at <= warm_for else Lane.COLD
