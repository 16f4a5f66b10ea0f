"""Keeps Python's collector away from what thousands of sessions hold: with 5,000 of them a full collection stops the loop for
200 ms and more, again and again, and finds nothing, since they are freed by their reference counts."""

import gc
from collections.abc import Callable

WORTH_IT = 200  # sessions more or fewer than when it was last set aside


class Garbage:
    """`count` tells how many sessions there are."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._seen = 0
        self._aside = 0

    async def set_aside(self) -> None:
        """What is alive now is not looked at any more; once the sessions that came or went have done so."""
        before, self._seen = self._seen, self._count()
        if before == self._seen and abs(self._seen - self._aside) >= WORTH_IT:
            self._aside = self._seen
            gc.unfreeze()
            gc.collect()  # what is set aside as garbage would stay for ever
            gc.freeze()
