"""What a connected session takes: memory, and CPU while nothing is sent; and what comes back when it is closed.

Idle CPU is mostly the price of waking up, which machines differ in tenfold: what does nothing else is measured beside it.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from restaurant_wa.bench import queues, usage
from restaurant_wa.bench.installation import Installation, Say, installed
from restaurant_wa.bench.load import CUSTOMERS
from restaurant_wa.bench.usage import Meter
from restaurant_wa.local.console import step

WORKER = "session-1"
LIGHTLY = 2  # messages of each session, to as many customers
FOR_SESSIONS = 200  # the idle CPU is told for that many
WAKES_PER_S = 10
_WAKING = f"""
import asyncio

async def main():
    print("awake", flush=True)
    while True:
        await asyncio.sleep({1 / WAKES_PER_S})

asyncio.run(main())
"""
_NOT = "SELECT count(*) AS n FROM wa_session WHERE state <> %s"
_LEFT = "SELECT count(*) AS n FROM message WHERE delivered_at IS NULL"


@dataclass(frozen=True, kw_only=True)
class Plan:
    sessions: int
    idle_s: float
    settle_s: float  # before anything is measured
    cycles: int


class Sizes(NamedTuple):
    """Resident, in MB."""

    bridge: float
    worker: float


def run(plan: Plan, *, data: Path | None, say: Say) -> dict[str, Any]:
    usage.require_proc()
    quickly = {"PACE_MIN_DELAY_MS": 0, "PACE_MAX_DELAY_MS": 0, "TYPING_MAX_MS": 0}  # nothing here depends on the pace
    with installed({"BRIDGE_COMMAND": "", **quickly}, data=data, say=say) as house:
        with step("Starting the network, web and a worker"):
            house.lab.start("simulator", "web", WORKER)
        with step(f"Linking {plan.sessions} sessions"):
            house.manage("bench", "link", "--sessions", str(plan.sessions), "--customers", str(LIGHTLY))
        return Watch(plan, house).run()


class Watch:
    def __init__(self, plan: Plan, house: Installation) -> None:
        self._plan = plan
        self._house = house

    def run(self) -> dict[str, Any]:
        plan = self._plan
        self._close_all()
        with step("Starting the worker anew, without a session"):
            self._house.lab.stop(WORKER)
            self._house.lab.start(WORKER)
        empty = self._settled()
        self._open_all()
        self._use_lightly()
        full, idle_cpu = self._idle()
        opened, closed = [full], []
        for cycle in range(plan.cycles):
            self._close_all()
            closed.append(self._settled())
            if cycle + 1 < plan.cycles:
                self._open_all()
                opened.append(self._settled())
        return {**_of_each(empty, full, plan.sessions), **_idle_figures(idle_cpu, plan), **_returned(empty, opened, closed)}

    def _open_all(self) -> None:
        with step("Connecting all of them"):
            self._house.manage("bench", "wish", "--desired", "online")
            self._house.until(lambda: int(self._house.sql(_NOT, "connected")[0]["n"]))

    def _close_all(self) -> None:
        with step("Closing all of them"):
            self._house.manage("bench", "wish", "--desired", "offline")
            self._house.until(lambda: int(self._house.sql(_NOT, "stopped")[0]["n"]))

    def _use_lightly(self) -> None:
        with step(f"Sending {LIGHTLY} messages from each"):
            everybody = range(self._plan.sessions)
            queues.queue(self._house, sessions=everybody, numbers=range(LIGHTLY), prefix=CUSTOMERS, spread=LIGHTLY)
            self._house.sql("UPDATE restaurant SET is_active = true")
            self._house.until(lambda: int(self._house.sql(_LEFT)[0]["n"]))

    def _settled(self) -> Sizes:
        self._house.wait(self._plan.settle_s, f"Letting it settle for {self._plan.settle_s:g} s")
        return self._sizes()

    def _idle(self) -> tuple[Sizes, dict[str, float]]:
        """Medians of the sizes over the idle time, and the CPU seconds it took."""
        self._settled()
        worker, bridge = self._pids()
        sizes: list[Sizes] = []
        with step(f"Watching them do nothing for {self._plan.idle_s:g} s"), _waking() as waking:
            meter = Meter({"worker": worker, "bridge": bridge, "waking": waking}, {})
            until = time.monotonic() + self._plan.idle_s
            while (left := until - time.monotonic()) > 0:
                sizes.append(self._sizes())
                time.sleep(min(1.0, left))
            taken = meter.taken_s()
        return Sizes(*(statistics.median(column) for column in zip(*sizes, strict=True))), taken

    def _sizes(self) -> Sizes:
        worker, bridge = self._pids()
        return Sizes(usage.rss_mb(bridge), usage.rss_mb(worker))

    def _pids(self) -> tuple[int, int]:
        worker = self._house.lab.pid(WORKER)
        return worker, usage.only_child(worker)


@contextmanager
def _waking() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-I", "-c", _WAKING], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            process.stdout.readline()  # it has started
            yield process.pid
        finally:
            process.kill()


def _of_each(empty: Sizes, full: Sizes, sessions: int) -> dict[str, float]:
    return {
        "bridge_mb_empty": empty.bridge,
        "bridge_mb": full.bridge,
        "bridge_mb_per_session": (full.bridge - empty.bridge) / sessions,
        "worker_mb_empty": empty.worker,
        "worker_mb": full.worker,
        "worker_kb_per_session": 1024 * (full.worker - empty.worker) / sessions,
    }


def _idle_figures(cpu_s: dict[str, float], plan: Plan) -> dict[str, float]:
    """`waking_ms`: CPU of one wake-up of a loop of Python's that has nothing to do."""
    waking_s = cpu_s.pop("waking")
    percent = {name: 100 * taken / plan.idle_s for name, taken in cpu_s.items()}
    both = sum(percent.values())
    return {
        **{f"idle_{name}_cpu_percent": one for name, one in percent.items()},
        "idle_cpu_percent": both,
        f"idle_cpu_percent_for_{FOR_SESSIONS}": both * FOR_SESSIONS / plan.sessions,
        "waking_ms": 1_000 * waking_s / (plan.idle_s * WAKES_PER_S),
    }


def _returned(empty: Sizes, opened: list[Sizes], closed: list[Sizes]) -> dict[str, Any]:
    """`returned_percent`: of what the bridge took for its sessions, what it gave back when the last of them was closed."""
    if not closed:
        return {}
    taken, kept = opened[-1].bridge - empty.bridge, closed[-1].bridge - empty.bridge
    return {
        "bridge_mb_open": [one.bridge for one in opened],
        "bridge_mb_closed": [one.bridge for one in closed],
        "worker_mb_closed": [one.worker for one in closed],
        "returned_percent": 100 * (1 - kept / taken) if taken > 0 else None,
    }
