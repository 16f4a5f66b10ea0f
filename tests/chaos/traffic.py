"""The messages of one round: many that were queued at once, and the till's, which go on coming."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.chaos.lengths import lasting
from tests.chaos.lines import Line
from tests.chaos.till import Till
from tests.support.stack import Stack

DONE = ("sent", "delivered", "read")
LOOK_EVERY_S = 0.2


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

    def reach(self, share: float) -> None:
        """Until that share of the messages that were queued at once has been sent."""
        self._until(share * self.total, self.name)

    def goes_on(self, count: int, *, silence: float = 60) -> None:
        """Until that many more have been sent."""
        self._until(self.done() + count, silence=silence)

    def _until(self, wanted: float, *references: str, silence: float = 60) -> None:
        """Fails once nothing more has been sent for that many seconds: how fast the machine is, is not asked here."""
        most, moved = -1, time.monotonic()
        while (done := self.done(*references)) < wanted:
            if done > most:
                most, moved = done, time.monotonic()
            assert time.monotonic() - moved < silence, f"{done} of {wanted:.0f} were sent, then none for {silence:g} s"
            time.sleep(LOOK_EVERY_S)

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

    def finish(self, *, silence: float) -> None:
        try:
            self._until(self.total + sum(map(len, self.till.orders.values())), silence=silence)
        except AssertionError as error:
            raise AssertionError(f"{self.name} did not end: {self.unfinished()}") from error

    def unfinished(self) -> list[dict[str, Any]]:
        """Those first that stand in the way of others, and how their sessions are."""
        query = """
            SELECT m.body, m.status, m.error_code, m.attempts, m.claimed_term, m.not_before, m.hold_reason, m.hold_until,
                   s.id AS session, s.state, s.state_reason, s.term, s.next_send_at, w.name AS owner, w.expires_at,
                   (SELECT json_agg(ARRAY[e.status, e.at::text, e.detail::text] ORDER BY e.id)
                    FROM message_event e WHERE e.message_id = m.id) AS timeline
            FROM message m JOIN wa_session s ON s.id = m.session_id LEFT JOIN worker w ON w.id = s.owner_id
            WHERE m.reference = ANY(%s) AND NOT m.status = ANY(%s) ORDER BY m.status = 'queued', m.body LIMIT 5"""
        return self.stack.sql(query, self.references, list(DONE))
