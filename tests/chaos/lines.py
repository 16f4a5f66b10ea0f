"""Who writes to whom."""

from dataclasses import dataclass
from uuid import UUID, uuid4


@dataclass(frozen=True)
class Line:
    """A restaurant's linked number and the customer it writes to."""

    restaurant: UUID
    session: UUID
    number: str
    customer: str


def some_lines(count: int) -> list[Line]:
    return [Line(uuid4(), uuid4(), f"+4915110000{n:03}", f"+4915120000{n:03}") for n in range(count)]
