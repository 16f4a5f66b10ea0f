"""One run with real bridges and a simulated network: linked, busy sessions; what is done to them; what the phones showed."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from restaurant_wa.bench import figures
from restaurant_wa.bench.figures import Arrival
from restaurant_wa.bench.installation import Installation
from restaurant_wa.bench.load import customer
from restaurant_wa.local.console import step

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

    @property
    def configuration(self) -> dict[str, object]:
        shortest, longest = self.pace_ms
        return {"PACE_MIN_DELAY_MS": shortest, "PACE_MAX_DELAY_MS": longest}


class Trial:
    """Raises Problem."""

    def __init__(self, plan: Plan, house: Installation) -> None:
        self.plan = plan
        self.house = house
        self.say = house.say
        self.lab = house.lab
        self.sql = house.sql
        self._codes_before = 0

    def make_busy(self) -> None:
        """Returns when every session has begun to send."""
        plan, house = self.plan, self.house
        sizes = ["--sessions", str(plan.sessions), "--customers", str(plan.customers)]
        with step(f"Starting its parts, {plan.workers} session workers among them"):
            house.lab.start_all(workers=plan.workers)
        with step(f"Linking {plan.sessions} sessions"):
            house.manage("bench", "link", *sizes)
        self._codes_before = house.network("/api/stats")["qr_shown"]
        with step(f"Queueing {plan.messages} messages for each"):
            house.manage("bench", "fill", *sizes, "--messages", str(plan.messages))
        begun = "SELECT count(DISTINCT session_id) AS n FROM message WHERE sent_at IS NOT NULL"
        with step("Waiting until every session sends"):
            house.until(lambda: plan.sessions - int(self.sql(begun)[0]["n"]))

    def await_end(self) -> None:
        """Until every message is settled, or nothing moves any more."""
        left = "SELECT count(*) AS n FROM message WHERE status = ANY(%s)"
        with step("Waiting for the last message"):
            self.house.until(lambda: int(self.sql(left, list(UNSETTLED))[0]["n"]), insist=False)

    def arrivals(self) -> list[Arrival]:
        return arrivals(self.house, self.plan.customers)

    def verdict(self, arrivals: list[Arrival]) -> dict[str, Any]:
        plan = self.plan
        return {
            "lost": figures.lost(arrivals, sessions=plan.sessions, messages=plan.messages),
            "shown_twice": figures.shown_twice(arrivals),
            "out_of_order": figures.out_of_order(arrivals),
            "new_qr": self.house.network("/api/stats")["qr_shown"] - self._codes_before,
            "sent_again": sum(one.copies > 1 for one in arrivals),
        }


def arrivals(house: Installation, customers: int) -> list[Arrival]:
    """What all customers' phones show, each in its own order."""
    paths = (f"/api/phones/{quote(customer(number))}/shown" for number in range(customers))
    return [one for path in paths for one in figures.read(house.network(path)["messages"])]
