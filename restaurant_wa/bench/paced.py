"""The whole system at its pace for minutes: linked sessions, one worker, its real bridge, the simulated network."""

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restaurant_wa.bench import queues, slots, usage
from restaurant_wa.bench.figures import Arrival
from restaurant_wa.bench.installation import Installation, Say, installed
from restaurant_wa.bench.load import CUSTOMERS
from restaurant_wa.bench.slots import Send, Spans, Window
from restaurant_wa.bench.trial import arrivals
from restaurant_wa.local.console import step

WORKER = "session-1"
KNOWN = 20  # customers, who hear from every session in turn
_DELAYS = "SELECT wa_id, delay_ms FROM message WHERE delay_ms IS NOT NULL"
_LAST_DELAYS = "SELECT name, next_delay_ms FROM wa_session"
_ERRORS = """
    SELECT count(*) FILTER (WHERE status IN ('failed', 'expired')) AS failed, count(*) FILTER (WHERE attempts > 1) AS tried_again,
           count(*) FILTER (WHERE status = 'uncertain') AS uncertain FROM message"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`pace_ms`: shortest and longest pause between two messages of a session."""

    sessions: int
    seconds: float  # of the window
    pace_ms: tuple[int, int]

    @property
    def spans(self) -> Spans:
        return Spans(self.pace_ms)

    @property
    def messages(self) -> int:
        """Of each session: a quarter more than the pauses let through on average, and some for a short run."""
        mean_s = sum(self.pace_ms) / 2_000
        return int(1.25 * (self.spans.warm_up_s + self.seconds + self.spans.tail_s) / mean_s) + 20


def run(plan: Plan, *, data: Path | None, say: Say) -> dict[str, Any]:
    """`lateness_…`: from the moment a phone showed a message, and the pause drawn after it, until a phone shows the next one of
    the session: answering, encoding and the way over the network are part of it."""
    usage.require_proc()
    shortest, longest = plan.pace_ms
    configuration = {"BRIDGE_COMMAND": "", "PACE_MIN_DELAY_MS": shortest, "PACE_MAX_DELAY_MS": longest}
    with installed(configuration, data=data, say=say) as house:
        _prepare(plan, house)
        window, cpu = _measure(plan, house)
        return {**_figures(plan, house, window), **cpu}


def _prepare(plan: Plan, house: Installation) -> None:
    with step("Starting the network, web and a worker"):
        house.lab.start("simulator", "web", WORKER)
    with step(f"Linking {plan.sessions} sessions"):
        house.manage("bench", "link", "--sessions", str(plan.sessions), "--customers", str(KNOWN))
    with step(f"Queueing {plan.messages} messages for each"):
        queues.contacts(house, KNOWN, prefix=CUSTOMERS)
        everybody = range(plan.sessions)
        queues.queue(house, sessions=everybody, numbers=range(plan.messages), prefix=CUSTOMERS, spread=KNOWN)
        house.vacuum()
        house.sql("UPDATE restaurant SET is_active = true")
    with step("Waiting until every session sends"):
        house.until(lambda: queues.silent(house))


def _measure(plan: Plan, house: Installation) -> tuple[Window, dict[str, Any]]:
    house.wait(plan.spans.warm_up_s, f"Warming up for {plan.spans.warm_up_s:g} s")
    worker = house.lab.pid(WORKER)
    parts = {"worker": worker, "bridge": usage.only_child(worker), "simulator": house.lab.pid("simulator")}
    trees = {"web": house.lab.pid("web"), "postgres": house.lab.pid("postgres")}
    begin, meter = time.time(), usage.Meter(alone=parts, trees=trees)
    house.wait(plan.seconds, f"Measuring for {plan.seconds:g} s")
    taken, window = meter.taken_s(), Window(begin, time.time())
    sizes = {f"{name}_rss_mb": usage.rss_mb(parts[name]) for name in ("worker", "bridge")}
    house.wait(plan.spans.tail_s, "Letting the last slots of the window pass")
    queues.require_full(house)
    house.lab.stop(WORKER)
    return window, {**{f"{name}_cpu_percent": 100 * cpu / (window.end - window.begin) for name, cpu in taken.items()}, **sizes}


def _figures(plan: Plan, house: Installation, window: Window) -> dict[str, Any]:
    shown = arrivals(house, KNOWN)
    sends = _sends(shown)
    delays = {row["wa_id"]: row["delay_ms"] for row in house.sql(_DELAYS)}
    last = {row["name"]: row["next_delay_ms"] for row in house.sql(_LAST_DELAYS)}
    return {
        **slots.report(sends, delays, last, sessions=plan.sessions, window=window),
        "sent_again": sum(one.copies > 1 for one in shown),
        **house.sql(_ERRORS)[0],
    }


def _sends(shown: Iterable[Arrival]) -> dict[str, list[Send]]:
    """As if each had been answered when it was shown."""
    sends: dict[str, list[Send]] = defaultdict(list)
    for one in sorted(shown, key=lambda one: one.at):
        at = one.at.timestamp()
        sends[str(one.session)].append(Send(str(one.session), one.wa_id, at, at))
    return sends
