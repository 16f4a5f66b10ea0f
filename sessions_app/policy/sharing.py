"""How many sessions each worker owns, and how many may be on the move at once."""

from collections.abc import Sequence

MOVING_AT_ONCE = 16  # a moving session is silent for one login, as long as not too many log in at the same time


def fair_share(*, capacity: int, others: Sequence[int], wanted: int) -> int:
    """Of `wanted` sessions, those of a worker with this capacity beside workers with the capacities of `others`: all the same,
    and what a small one has no room for goes to the larger ones. Rounded up, so that together they have room for all."""
    left, level = wanted, capacity
    rooms = sorted([capacity, *others])
    for place, room in enumerate(rooms):
        level = -(-left // (len(rooms) - place))
        if room >= level:
            return min(capacity, level)
        left -= room
    return capacity


def may_leave(*, surplus: int, leaving: int, moving: int) -> int:
    """How many more of a worker's surplus may set out now: `leaving` of its own are about to, and `moving` of all workers'
    are between two owners or logging in."""
    return max(0, min(surplus - leaving, MOVING_AT_ONCE - leaving - moving))
