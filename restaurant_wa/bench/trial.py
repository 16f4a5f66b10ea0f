"""One run: an installation of its own with linked, busy sessions; what is done to it; what its phones showed."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.rows import dict_row

from restaurant_wa.bench import figures
from restaurant_wa.bench.figures import Arrival
from restaurant_wa.bench.load import customer
from restaurant_wa.local.console import Problem, step
from restaurant_wa.local.lab import Lab
from restaurant_wa.local.places import BASE_DIR

PREPARE_TIMEOUT_S = 900.0
QUIET_TIMEOUT_S = 60.0  # nothing moves for that long: it never will
SAY_EVERY_S = 10.0
HTTP_TIMEOUT_S = 30.0
UNSETTLED = ("scheduled", "queued", "sending", "uncertain")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`pace_ms`: shortest and longest pause between two messages of a session."""

    sessions: int
    workers: int
    messages: int  # of each session
    pace_ms: tuple[int, int]

    @property
    def customers(self) -> int:
        return min(self.sessions, 20)


class Trial:
    """Use it as a context. Raises Problem."""

    def __init__(self, plan: Plan, *, data: Path, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.say = say
        self._data = data
        self._lab: Lab | None = None
        self._codes_before = 0

    def __enter__(self) -> "Trial":
        shortest, longest = self.plan.pace_ms
        with step("Starting an installation of its own"):
            self._lab = Lab(self._data, configuration={"PACE_MIN_DELAY_MS": shortest, "PACE_MAX_DELAY_MS": longest})
        try:
            with step("Preparing its database"):
                self._manage("bridge_role", "--migrate")
            with step(f"Starting its parts, {self.plan.workers} session workers among them"):
                self._lab.start_all(workers=self.plan.workers)
        except BaseException:
            self._lab.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with step("Stopping everything"):
            self.lab.close()

    @property
    def lab(self) -> Lab:
        assert self._lab is not None, "the trial is used outside of its context"
        return self._lab

    def make_busy(self) -> None:
        """Returns when every session has begun to send."""
        plan = self.plan
        sizes = ["--sessions", str(plan.sessions), "--customers", str(plan.customers)]
        with step(f"Linking {plan.sessions} sessions"):
            self._manage("bench", "link", *sizes)
        self._codes_before = self._network("/api/stats")["qr_shown"]
        with step(f"Queueing {plan.messages} messages for each"):
            self._manage("bench", "fill", *sizes, "--messages", str(plan.messages))
        begun = "SELECT count(DISTINCT session_id) AS n FROM message WHERE sent_at IS NOT NULL"
        with step("Waiting until every session sends"):
            self._until(lambda: plan.sessions - int(self.sql(begun)[0]["n"]))

    def await_end(self) -> None:
        """Until every message is settled, or nothing moves any more."""
        left = "SELECT count(*) AS n FROM message WHERE status = ANY(%s)"
        with step("Waiting for the last message"):
            self._until(lambda: int(self.sql(left, list(UNSETTLED))[0]["n"]), insist=False)

    def arrivals(self) -> list[Arrival]:
        """What all customers' phones show, each in its own order."""
        phones = map(customer, range(self.plan.customers))
        return [one for phone in phones for one in figures.read(self._network(f"/api/phones/{quote(phone)}/shown")["messages"])]

    def verdict(self, arrivals: list[Arrival]) -> dict[str, Any]:
        plan = self.plan
        return {
            "lost": figures.lost(arrivals, sessions=plan.sessions, messages=plan.messages),
            "shown_twice": figures.shown_twice(arrivals),
            "out_of_order": figures.out_of_order(arrivals),
            "new_qr": self._network("/api/stats")["qr_shown"] - self._codes_before,
            "sent_again": sum(one.copies > 1 for one in arrivals),
        }

    def sql(self, query: str, *values: object) -> list[dict[str, Any]]:
        with psycopg.connect(self.lab.database, connect_timeout=5, row_factory=dict_row) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def _manage(self, *arguments: str) -> None:
        command = [sys.executable, str(BASE_DIR / "manage.py"), *arguments]
        try:
            subprocess.run(command, env=dict(self.lab.site.env), check=True, timeout=PREPARE_TIMEOUT_S)
        except subprocess.SubprocessError as error:
            raise Problem(f"`manage.py {' '.join(arguments[:2])}` failed ({type(error).__name__}).") from error

    def _network(self, path: str) -> Any:
        with urllib.request.urlopen(self.lab.site.env["SIMULATOR_URL"] + path, timeout=HTTP_TIMEOUT_S) as answer:
            return json.load(answer)

    def _until(self, left: Callable[[], int], *, insist: bool = True) -> None:
        """Until nothing is left; what does not change for QUIET_TIMEOUT_S is given up."""
        last, changed, said = -1, time.monotonic(), time.monotonic()
        while count := left():
            now = time.monotonic()
            if count != last:
                last, changed = count, now
            if now - said > SAY_EVERY_S:
                said = now
                self.say(f"{count} left")
            if now - changed > QUIET_TIMEOUT_S:
                if insist:
                    raise Problem(f"{count} are left, and nothing has moved for {QUIET_TIMEOUT_S:.0f} s.")
                return
            time.sleep(0.5)
