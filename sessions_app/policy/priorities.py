"""Which message of a session goes next: strictly by priority, with one slot in four for the one that has waited longest.

Among equals the order of acceptance holds. So nobody starves, and an urgent message waits one slot longer at most.
"""

from datetime import timedelta
from enum import IntEnum

EVERY = 4
WAITED = timedelta(minutes=10)


class Priority(IntEnum):
    """The lower the number, the sooner; the same numbers as in the database."""

    URGENT = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3


def is_the_oldests(turn: int) -> bool:
    """Whether the session's slot number `turn`, counted from 0, goes to the message that has waited longest, if that has waited
    for longer than WAITED."""
    return turn % EVERY == EVERY - 1
