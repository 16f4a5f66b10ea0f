"""How many messages the whole way carries, beside a loop around Baileys alone, on the same network in the same minutes."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from restaurant_wa.bench import queues, usage
from restaurant_wa.bench.bare import Bare
from restaurant_wa.bench.installation import Installation, Say, installed
from restaurant_wa.bench.load import CUSTOMERS
from restaurant_wa.bench.usage import Meter
from restaurant_wa.local.console import step

WORKER = "session-1"
KNOWN = 20  # customers that every session has written to
MOST_PER_S, MOST_NEW_PER_S = 1_000, 400  # nothing here is faster: queues are filled for that
_BEGUN = "SELECT (SELECT count(*) FROM wa_session) - count(DISTINCT session_id) AS n FROM message WHERE sending_at >= %s"
_LEFT = "SELECT count(*) AS n FROM message WHERE status = ANY(%s)"
_ACKED = "SELECT count(*) AS n FROM message WHERE sent_at >= %s AND sent_at < %s"
_CLEAR = """
    WITH gone AS (DELETE FROM message WHERE status = 'queued' RETURNING id)
    DELETE FROM message_event WHERE message_id IN (SELECT id FROM gone)"""
_FAILED = "SELECT count(*) AS n FROM message WHERE status NOT IN ('sent', 'delivered', 'read')"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """The n-th message of a session goes to customer `base + n % spread`; `each` are enough for a stretch."""

    name: str
    base: int
    spread: int
    each: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    sessions: int
    seconds: float  # of each stretch
    rounds: int

    @property
    def kinds(self) -> tuple[Kind, Kind]:
        known = Kind(name="known", base=0, spread=KNOWN, each=self._each(MOST_PER_S))
        new = self._each(MOST_NEW_PER_S)
        return known, Kind(name="new", base=KNOWN, spread=self.rounds * new, each=new)

    @property
    def customers(self) -> int:
        return sum(kind.spread for kind in self.kinds)

    def _each(self, most_per_s: int) -> int:
        """Messages of each session for one stretch, with the time it takes to begin and end."""
        return int(most_per_s * (self.seconds + 3) / self.sessions) + 2


class Stretch(NamedTuple):
    per_s: float
    cpu_ms: dict[str, float]  # of each message, by process


def run(plan: Plan, *, data: Path | None, say: Say) -> dict[str, Any]:
    usage.require_proc()
    configuration = {"BRIDGE_COMMAND": "", "PACE_MIN_DELAY_MS": 0, "PACE_MAX_DELAY_MS": 0, "TYPING_MAX_MS": 0}
    with installed(configuration, data=data, say=say) as house:
        with step("Starting the network, web and a worker"):
            house.lab.start("simulator", "web", WORKER)
        with step(f"Linking {plan.sessions} sessions"):
            house.manage("bench", "link", "--sessions", str(plan.sessions), "--customers", str(plan.customers))
        with step(f"Linking {plan.sessions} accounts of the loop around Baileys"):
            bare = Bare(house.lab, accounts=plan.sessions, prefix=CUSTOMERS)
            bare.wait_linked()
        contest = Contest(plan, house, bare)
        with step("Letting everybody get to know their customers"):
            contest.meet()
        return {kind.name: contest.hold(kind) for kind in plan.kinds} | {"failed": int(house.sql(_FAILED)[0]["n"])}


class Contest:
    """The two take turns. While one sends, the other is connected and idle."""

    def __init__(self, plan: Plan, house: Installation, bare: Bare) -> None:
        self._plan = plan
        self._house = house
        self._bare = bare
        lab = house.lab
        self._alone = {"worker": lab.pid(WORKER), "bridge": usage.only_child(lab.pid(WORKER)), "simulator": lab.pid("simulator")}
        self._trees = {"web": lab.pid("web"), "postgres": lab.pid("postgres")}
        self._next = 0  # of the loop's messages

    def meet(self) -> None:
        self._queue(range(KNOWN), base=0, spread=KNOWN)
        self._switch(on=True)
        self._house.until(lambda: self._left("queued", "sending", "uncertain"))
        self._switch(on=False)
        self._bare.send(seconds=600, first=0, base=0, spread=KNOWN, most=KNOWN)

    def hold(self, kind: Kind) -> dict[str, Any]:
        with step(f"Queueing {self._plan.rounds * kind.each} messages of each session to {kind.name} customers"):
            self._queue(range(self._plan.rounds * kind.each), base=kind.base, spread=kind.spread)
            self._house.vacuum()
        stack, bare, self._next = [], [], 0
        for number in range(1, self._plan.rounds + 1):
            with step(f"{kind.name.capitalize()} customers, round {number}: the whole way"):
                stack.append(self._stack_stretch())
            with step(f"{kind.name.capitalize()} customers, round {number}: Baileys alone"):
                bare.append(self._bare_stretch(kind))
        self._house.sql(_CLEAR)
        return _compared(stack, bare)

    def _stack_stretch(self) -> Stretch:
        began = self._now()
        self._switch(on=True)
        self._house.until(lambda: int(self._house.sql(_BEGUN, began)[0]["n"]), every_s=0.1)
        meter, begin, started = Meter(self._alone, self._trees), self._now(), time.monotonic()
        time.sleep(self._plan.seconds)
        taken, end, took = meter.taken_s(), self._now(), time.monotonic() - started
        queues.require_full(self._house)
        self._switch(on=False)
        self._house.until(lambda: self._left("sending", "uncertain"), every_s=0.1)
        return _stretch(int(self._house.sql(_ACKED, begin, end)[0]["n"]), took, taken)

    def _bare_stretch(self, kind: Kind) -> Stretch:
        meter = Meter({"bare": self._bare.pid, "simulator": self._alone["simulator"]}, {})
        place = {"first": self._next, "base": kind.base, "spread": kind.spread}
        sent, self._next = self._bare.send(seconds=self._plan.seconds, **place)
        return _stretch(sent, self._plan.seconds, meter.taken_s())

    def _queue(self, numbers: range, *, base: int, spread: int) -> None:
        everybody = range(self._plan.sessions)
        queues.queue(self._house, sessions=everybody, numbers=numbers, prefix=CUSTOMERS, base=base, spread=spread)

    def _switch(self, *, on: bool) -> None:
        self._house.sql("UPDATE restaurant SET is_active = %s", on)

    def _left(self, *statuses: str) -> int:
        return int(self._house.sql(_LEFT, list(statuses))[0]["n"])

    def _now(self) -> Any:
        return self._house.sql("SELECT clock_timestamp() AS now")[0]["now"]


def _stretch(sent: int, seconds: float, cpu_s: dict[str, float]) -> Stretch:
    return Stretch(sent / seconds, {name: 1000 * one / max(sent, 1) for name, one in cpu_s.items()})


def _compared(stack: Sequence[Stretch], bare: Sequence[Stretch]) -> dict[str, Any]:
    """Medians over the rounds; `ratio` is the median of the rounds' own, since the machine's other work drifts."""
    return {
        "stack_msgs_per_s": statistics.median(one.per_s for one in stack),
        "bare_msgs_per_s": statistics.median(one.per_s for one in bare),
        "ratio": statistics.median(one.per_s / other.per_s for one, other in zip(stack, bare, strict=True) if other.per_s),
        "stack_cpu_ms": _medians(stack),
        "bare_cpu_ms": _medians(bare),
        "stack_rounds": [one.per_s for one in stack],
        "bare_rounds": [one.per_s for one in bare],
    }


def _medians(stretches: Sequence[Stretch]) -> dict[str, float]:
    return {name: statistics.median(one.cpu_ms[name] for one in stretches) for name in stretches[0].cpu_ms}
