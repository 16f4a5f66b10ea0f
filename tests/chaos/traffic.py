"""The messages of one round: many that were queued at once, and the till's, which go on coming."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.chaos.lengths import lasting
from tests.chaos.lines import Line
from tests.chaos.till import Till
from tests.support.stack import Stack, eventually

DONE = ("sent", "delivered", "read")


@dataclass
class Traffic:
    stack: Stack
    name: str
    queued: dict[Line, list[str]]  # at once, in the order of their turns
    till: Till

    @property
    def references(self) -> list[str]:
        return [self.name, f"{self.name} orders"]

    @property
    def total(self) -> int:
        return sum(map(len, self.queued.values()))

    def expected(self, line: Line) -> list[str]:
        """What the customer has to see, in this order: the till's have the lowest priority, and came last."""
        return [*self.queued[line], *self.till.orders.get(line, [])]

    # --- While it goes on

    def reach(self, share: float, *, timeout: float = 60) -> None:
        """Until that share of the messages that were queued at once has been sent."""
        wanted = share * self.total
        eventually(lambda: self.done(self.name) >= wanted, timeout=timeout, what=f"{share:.0%} of the messages to be sent")

    def goes_on(self, count: int, *, timeout: float = 60) -> None:
        """Until that many more have been sent."""
        before = self.done()
        eventually(lambda: self.done() >= before + count, timeout=timeout, what=f"{count} more messages to be sent")

    def done(self, *references: str) -> int:
        query = "SELECT count(*) AS n FROM message WHERE reference = ANY(%s) AND status = ANY(%s)"
        count: int = self.stack.sql(query, list(references or self.references), list(DONE))[0]["n"]
        return count

    @contextmanager
    def without(self, part: str, *, seconds: float = 0.0, kill: bool = True) -> Iterator[float]:
        """The part is away for that long at least, and ready again afterwards. Gives the moment from which on it is gone."""
        with self.till.away(part):
            try:
                with lasting(seconds):
                    self.stack.kill(part) if kill else self.stack.stop(part)
                    yield time.monotonic()
            finally:
                self.stack.start(part)

    # --- Afterwards

    def finish(self, *, timeout: float) -> None:
        total = self.total + sum(map(len, self.till.orders.values()))
        try:
            eventually(lambda: self.done() >= total, timeout=timeout, what=f"all {total} messages to be sent")
        except AssertionError as error:
            raise AssertionError(f"{self.name} did not end within {timeout:g} s: {self.unfinished()}") from error

    def unfinished(self) -> list[dict[str, Any]]:
        query = """
            SELECT body, status, error_code, attempts, not_before, (SELECT json_agg(ARRAY[e.status, e.detail::text] ORDER BY e.id)
                FROM message_event e WHERE e.message_id = m.id) AS timeline
            FROM message m WHERE reference = ANY(%s) AND NOT status = ANY(%s) ORDER BY body LIMIT 5"""
        return self.stack.sql(query, self.references, list(DONE))
