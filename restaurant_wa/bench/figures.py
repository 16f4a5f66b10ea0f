"""What the virtual phones showed, compared with what was sent."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

_TEXT = re.compile(r"order (\d+) of session (\d+)")


def text_of(session: int, number: int) -> str:
    return f"order {number} of session {session}"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message as a phone shows it; `number` counts the messages of its session from 0, in the order of acceptance."""

    session: int
    number: int
    wa_id: str
    at: datetime
    copies: int = 1  # what arrived under its id: above 1 it was sent again, and shown once


def read(messages: Iterable[Mapping[str, Any]]) -> list[Arrival]:
    """From the network's `Shown`, in its order."""
    arrivals = []
    for message in messages:
        if found := _TEXT.fullmatch(message["text"]):
            number, session = int(found[1]), int(found[2])
            at = datetime.fromisoformat(message["at"])
            arrivals.append(Arrival(session, number, message["id"], at, message["copies"]))
    return arrivals


def by_session(arrivals: Iterable[Arrival]) -> dict[int, list[Arrival]]:
    """In the order given, which is each phone's own: one session writes to one phone."""
    sessions: dict[int, list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        sessions[arrival.session].append(arrival)
    return sessions


def lost(arrivals: Sequence[Arrival], *, sessions: int, messages: int) -> int:
    return sessions * messages - len({(one.session, one.number) for one in arrivals})


def shown_twice(arrivals: Sequence[Arrival]) -> int:
    return len(arrivals) - len({(one.session, one.number) for one in arrivals})


def out_of_order(arrivals: Iterable[Arrival]) -> int:
    """How many were shown after a later one of their session."""
    return sum(one.number < before for of_one in by_session(arrivals).values() for one, before in _with_highest_before(of_one))


def _with_highest_before(arrivals: Sequence[Arrival]) -> Iterable[tuple[Arrival, int]]:
    highest = -1
    for arrival in arrivals:
        yield arrival, highest
        highest = max(highest, arrival.number)


def first_after(arrivals: Iterable[Arrival], since: Mapping[int, datetime]) -> dict[int, datetime]:
    """For each of these sessions, when the first message that left after its time was shown; none: it is left out."""
    first: dict[int, datetime] = {}
    for one in arrivals:
        if one.session in since and one.at > since[one.session]:
            first[one.session] = min(one.at, first.get(one.session, one.at))
    return first


def gaps(arrivals: Iterable[Arrival], delays_ms: Mapping[str, int], *, since: datetime) -> dict[int, tuple[float, float]]:
    """For each session the longest silence that ended after `since`, in seconds: as it was, and beyond the pause that its pace
    had drawn (`delays_ms`, by WhatsApp id). What remains are typing, the way over the network, and what it was held up by."""
    longest: dict[int, tuple[float, float]] = {}
    for session, of_one in by_session(arrivals).items():
        for before, one in pairwise(of_one):
            if one.at > since:
                silence = (one.at - before.at).total_seconds()
                beyond = silence - delays_ms.get(one.wa_id, 0) / 1000
                known = longest.get(session, (0.0, 0.0))
                longest[session] = (max(known[0], silence), max(known[1], beyond))
    return longest


def quantile(values: Iterable[float], share: float) -> float | None:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
