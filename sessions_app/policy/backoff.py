"""Waiting longer after every failure, and never all at the same moment."""

from datetime import timedelta


def backoff(failures: int, *, base: timedelta, cap: timedelta, jitter: float) -> timedelta:
    """Between half and the whole of `base` × 2^(failures-1), at most `cap`; `jitter` is uniform over [0, 1)."""
    doublings = min(max(failures, 1) - 1, 30)  # beyond that every cap is long reached
    whole = min(base * (1 << doublings), cap)
    return whole * (0.5 + jitter / 2)
