"""Warm and cold: who has written to us, and who has not. Strangers' two lanes share one pace and one tally; only the day's budget
counts `new` alone."""

from enum import StrEnum


class Lane(StrEnum):
    WARM = "warm"  # the customer has written to this number
    COLD = "cold"  # a stranger who has been written to before: what WhatsApp restricts numbers for
    NEW = "new"  # a stranger's first message: as cold, and it opens a chat, which is what the warm-up counts


LANES = tuple(Lane)  # by the numbers that the database has for them: Message.Lane


def lane_of(*, wrote: bool, written_to: bool) -> Lane:
    """`wrote`: the customer has written to this number; `written_to`: this number has written to them."""
    if wrote:
        return Lane.WARM
    return Lane.COLD if written_to else Lane.NEW
