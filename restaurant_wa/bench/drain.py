"""Thousands of paced sessions with one real worker; only its bridge is a stub: what the worker adds to what the pace demands."""

import shlex
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from restaurant_wa.bench import claims, queues, slots, stub_bridge, usage
from restaurant_wa.bench.installation import Installation, Say, installed
from restaurant_wa.bench.load import CUSTOMERS
from restaurant_wa.bench.slots import Spans, Window
from restaurant_wa.local.console import step

WORKER = "session-1"
KNOWN = 20  # customers of each session
LOGINS_S = 60  # the first sessions send while the last ones log in
_DELAYS = "SELECT wa_id, delay_ms FROM message WHERE attempts > 0 AND delivered_at IS NULL"
_LAST_DELAYS = "SELECT id::text AS session, next_delay_ms FROM wa_session"


@dataclass(frozen=True, kw_only=True)
class Plan:
    sessions: int
    seconds: float  # of the window
    pace_ms: tuple[int, int]
    bridge_ms: float  # what a send takes in the bridge, beside typing
    backlog: int  # finished messages that lie there already
    hot: int  # more messages for one of the sessions

    @property
    def spans(self) -> Spans:
        return Spans(self.pace_ms)

    @property
    def messages(self) -> int:
        """Of each session: more than the shortest pauses would use up."""
        return int((LOGINS_S + self.spans.warm_up_s + self.seconds + self.spans.tail_s) * 1000 / self.pace_ms[0]) + 2


def run(plan: Plan, *, explain: bool, data: Path | None, say: Say) -> dict[str, Any]:
    usage.require_proc()
    with tempfile.TemporaryDirectory(prefix="restaurant-wa-book-") as temporary:
        book = (data or Path(temporary)) / "book"
        with installed(_configuration(plan, book), data=data, say=say) as house:
            claim_figures = _fill(plan, house, explain=explain)
            window, figures = _measure(plan, house)
            lateness = _lateness(plan, house, book, window)
            cpu_ms = 10 * figures["worker_cpu_percent"] / max(lateness["sends_per_s"], 1e-9)
            return {**lateness, "cpu_ms_per_message": cpu_ms, **figures, **claim_figures}


def _configuration(plan: Plan, book: Path) -> dict[str, object]:
    stub = [sys.executable, "-I", stub_bridge.__file__, "--latency-ms", f"{plan.bridge_ms:g}", "--book", str(book)]
    shortest, longest = plan.pace_ms
    return {
        "BRIDGE_COMMAND": shlex.join(stub),
        "PACE_MIN_DELAY_MS": shortest,
        "PACE_MAX_DELAY_MS": longest,
        "WORKER_CAPACITY": max(plan.sessions, 5_000),
    }


def _fill(plan: Plan, house: Installation, *, explain: bool) -> dict[str, Any]:
    """Sessions, queues and history; what a claim costs before the history and after it."""
    everybody = range(plan.sessions)
    with step(f"Queueing {plan.messages} messages for each of {plan.sessions} sessions"):
        house.manage("bench", "sessions", "--sessions", str(plan.sessions))
        queues.contacts(house, KNOWN, prefix=CUSTOMERS)
        queues.queue(house, sessions=everybody, numbers=range(plan.messages), prefix=CUSTOMERS, spread=KNOWN)
        house.vacuum()
    before = claims.measure(house)
    if plan.hot:
        with step(f"Queueing {plan.hot} more for one of them"):
            numbers = range(plan.messages, plan.messages + plan.hot)
            queues.queue(house, sessions=range(1), numbers=numbers, prefix=CUSTOMERS, spread=KNOWN)
    if plan.backlog:
        with step(f"Adding {plan.backlog} finished messages"):
            queues.finished(house, plan.backlog, sessions=plan.sessions, prefix=CUSTOMERS, spread=KNOWN)
    if plan.hot or plan.backlog:
        with step("Vacuuming, as PostgreSQL does by itself in time"):
            house.vacuum()
    after = claims.measure(house) if plan.hot or plan.backlog else before
    if explain:
        house.say(f"The claim of {claims.SESSIONS} sessions:\n{after.plan}")
    return {
        "claim_ms": after.ms,
        "claim_planning_ms": after.planning_ms,
        "claim_blocks": after.blocks,
        "claim_ms_without_backlog": before.ms,
        "claim_blocks_without_backlog": before.blocks,
    }


def _measure(plan: Plan, house: Installation) -> tuple[Window, dict[str, Any]]:
    with step("Starting the worker"):
        house.lab.start(WORKER)
    with step("Waiting until every session sends"):
        house.until(lambda: queues.silent(house))
    house.wait(plan.spans.warm_up_s, f"Warming up for {plan.spans.warm_up_s:g} s")
    worker = house.lab.pid(WORKER)
    stub = usage.only_child(worker)
    begin, rss_begin = time.monotonic(), usage.rss_mb(worker)
    meter = usage.Meter(alone={"worker": worker, "stub": stub}, trees={"postgres": house.lab.pid("postgres")})
    house.wait(plan.seconds, f"Measuring for {plan.seconds:g} s")
    taken, window = meter.taken_s(), Window(begin, time.monotonic())
    figures = {f"{name}_cpu_percent": 100 * cpu / (window.end - window.begin) for name, cpu in taken.items()}
    rss = usage.rss_mb(worker)
    figures |= {"rss_mb": rss, "rss_mb_begin": rss_begin}
    house.wait(plan.spans.tail_s, "Letting the last slots of the window pass")
    queues.require_full(house)
    house.lab.stop(WORKER)
    return window, figures


def _lateness(plan: Plan, house: Installation, book: Path, window: Window) -> dict[str, Any]:
    sends = slots.read(book)
    delays = {row["wa_id"]: row["delay_ms"] for row in house.sql(_DELAYS)}
    last = {row["session"]: row["next_delay_ms"] for row in house.sql(_LAST_DELAYS)}
    return slots.report(sends, delays, last, sessions=plan.sessions, window=window)
