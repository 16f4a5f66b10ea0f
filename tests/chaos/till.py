"""An ordering system that does not stop: whatever happens to the parts, it orders, each order until it is accepted."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from itertools import count, cycle

from tests.chaos.lines import Line
from tests.support.http import HttpError, Json

EVERY_S = 0.2
RETRY_S = 0.2
GIVE_UP_S = 90.0
NOBODY = 0  # instead of a status: the connection was refused or cut


@dataclass(frozen=True)
class Answer:
    began: float
    ended: float
    status: int
    detail: str
    retry_after: str | None = None

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300


@dataclass
class Absence:
    """When a part was away, on the steady clock."""

    part: str
    since: float
    until: float = float("inf")


@dataclass
class Till:
    """It has a key for each of its lines, and orders for one after the other, with the lowest priority."""

    name: str
    apis: Mapping[Line, Json]
    orders: dict[Line, list[str]] = field(default_factory=lambda: defaultdict(list))  # accepted, in this order
    answers: list[Answer] = field(default_factory=list)
    absences: list[Absence] = field(default_factory=list)

    @contextmanager
    def open(self) -> Iterator["Till"]:
        """Orders until the block ends, and then finishes its last order. Fails for every answer that should not have been."""
        closing, crashed = threading.Event(), list[BaseException]()
        thread = threading.Thread(target=self._work, args=(closing, crashed), name="till", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            closing.set()
            thread.join(GIVE_UP_S + 30)
        assert not thread.is_alive(), "the last order was never answered"
        assert not crashed, f"the till gave up: {crashed[0]!r}; its last answers: {self.answers[-3:]}"
        faults = self.faults()
        assert not faults, faults

    @contextmanager
    def away(self, part: str) -> Iterator[Absence]:
        """A part is being taken away, and is back when the block ends."""
        absence = Absence(part, time.monotonic())
        self.absences.append(absence)
        yield absence
        absence.until = time.monotonic()

    def faults(self) -> list[Answer]:
        """503 with Retry-After may come while PostgreSQL is away, and no answer while web is; everything else was accepted."""
        return [answer for answer in self.answers if not answer.accepted and not self._explained(answer)]

    def _explained(self, answer: Answer) -> bool:
        if answer.status == 503 and (answer.retry_after or "").isdigit():
            return self._during("postgres", answer)
        return answer.status == NOBODY and self._during("web", answer)

    def _during(self, part: str, answer: Answer) -> bool:
        return any(
            absence.part == part and answer.ended >= absence.since and answer.began <= absence.until for absence in self.absences
        )

    def refused(self, since: float) -> int:
        """How many answers were 503 from then on."""
        return sum(answer.status == 503 and answer.began >= since for answer in self.answers)

    def taken(self, since: float) -> int:
        """How many orders that were made from then on were accepted."""
        return sum(answer.accepted and answer.began >= since for answer in self.answers)

    # --- The thread

    def _work(self, closing: threading.Event, crashed: list[BaseException]) -> None:
        try:
            for number, line in zip(count(), cycle(self.apis)):
                if closing.wait(EVERY_S):
                    return
                self._order(line, f"{self.name} order {number:04}")
        except BaseException as error:
            crashed.append(error)

    def _order(self, line: Line, text: str) -> None:
        give_up = time.monotonic() + GIVE_UP_S
        while not self._post(line, text).accepted:
            assert time.monotonic() < give_up, f"{text} was not accepted within {GIVE_UP_S:g} s"
            threading.Event().wait(RETRY_S)
        self.orders[line].append(text)

    def _post(self, line: Line, text: str) -> Answer:
        body = {"to": line.customer, "text": text, "reference": f"{self.name} orders", "priority": "low"}
        began = time.monotonic()
        status, detail, retry_after = 202, "", None
        try:
            self.apis[line].post("/api/v1/messages", body, Idempotency_Key=text)
        except HttpError as error:
            status, detail, retry_after = error.status, str(error), error.headers.get("retry-after")
        except (OSError, HTTPException) as error:
            status, detail = NOBODY, repr(error)
        answer = Answer(began, time.monotonic(), status, detail, retry_after)
        self.answers.append(answer)
        return answer
