"""How late sends were, and how much of what their pace allowed was used. Times are seconds of one clock, the bridge's."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from restaurant_wa.bench.figures import quantile


class Send(NamedTuple):
    session: str
    wa_id: str
    came: float  # went over the wire: it had reached the bridge, and its typing was over
    answered: float


@dataclass(frozen=True, slots=True)
class Window:
    begin: float
    end: float

    def holds(self, at: float) -> bool:
        return self.begin <= at < self.end

    def overlap(self, begin: float, end: float) -> float:
        return max(0.0, min(self.end, end) - max(self.begin, begin))


@dataclass(frozen=True, slots=True)
class Spans:
    """What comes before and after the window of a paced run, in seconds. `pace_ms`: shortest and longest pause."""

    pace_ms: tuple[int, int]

    @property
    def warm_up_s(self) -> float:
        """Two of the longest pauses: by then the sessions have drifted apart."""
        return 2 * self.pace_ms[1] / 1000

    @property
    def tail_s(self) -> float:
        """Every slot in the window is answered by a send, unless that is late by 2 s."""
        return self.pace_ms[1] / 1000 + 2


def read(book: Path) -> dict[str, list[Send]]:
    """The stub bridge's book, by session, in the order of arrival."""
    sends: dict[str, list[Send]] = defaultdict(list)
    for line in book.read_text().splitlines():
        session, wa_id, came, answered = line.split()
        sends[session].append(Send(session, wa_id, float(came), float(answered)))
    return {session: sorted(own, key=lambda one: one.came) for session, own in sends.items()}


def report(
    sends: Mapping[str, Sequence[Send]],
    delays_ms: Mapping[str, int],
    last_delays_ms: Mapping[str, int],
    *,
    sessions: int,
    window: Window,
) -> dict[str, Any]:
    """Times in milliseconds."""
    late = [1000 * one for one in lateness(sends, delays_ms, window)]
    made = sum(window.holds(one.came) for own in sends.values() for one in own)
    return {
        "sends": made,
        "sends_per_s": made / (window.end - window.begin),
        "efficiency": efficiency(sends, delays_ms, last_delays_ms, sessions=sessions, window=window),
        "lateness_p50_ms": quantile(late, 0.5),
        "lateness_p99_ms": quantile(late, 0.99),
        "lateness_max_ms": max(late, default=None),
        "earliest_ms": min(late, default=None),
    }


def lateness(sends: Mapping[str, Sequence[Send]], delays_ms: Mapping[str, int], window: Window) -> list[float]:
    """For each send of the window that has one before it: seconds since its slot, which is the moment the one before was answered
    plus the pause that was drawn for this one (`delays_ms`, by WhatsApp id). Below zero: the pace was not kept."""
    return [
        one.came - (before.answered + delays_ms[one.wa_id] / 1000)
        for own in sends.values()
        for before, one in pairwise(own)
        if window.holds(one.came)
    ]


def efficiency(
    sends: Mapping[str, Sequence[Send]],
    delays_ms: Mapping[str, int],
    last_delays_ms: Mapping[str, int],
    *,
    sessions: int,
    window: Window,
) -> float:
    """Sends made, of those that the same pauses would have allowed.

    A session that always has something to send is at any moment either held by its pace (from a send's arrival, through its
    answer, to the next slot) or late. The share of the window, over all sessions, in which they were held is the share of the
    possible sends that were made: without the lateness more of them would have had room. `last_delays_ms`: the pause drawn
    after each session's last send. A session that sent nothing at all counts as late all the time.
    """
    held = sum(
        window.overlap(begin, end)
        for session, own in sends.items()
        for begin, end in _held(own, delays_ms, last_delays_ms.get(session, 0))
    )
    return held / (sessions * (window.end - window.begin))


def _held(own: Sequence[Send], delays_ms: Mapping[str, int], last_delay_ms: int) -> Iterable[tuple[float, float]]:
    for before, one in pairwise(own):
        yield before.came, min(one.came, before.answered + delays_ms[one.wa_id] / 1000)
    yield own[-1].came, own[-1].answered + last_delay_ms / 1000
