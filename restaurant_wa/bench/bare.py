"""The loop around Baileys alone (`node_bridge/bench/bare.js`), as a child process."""

import json
import time
import urllib.request
from typing import Any

from restaurant_wa.local.children import Child, Program
from restaurant_wa.local.console import Problem
from restaurant_wa.local.lab import Lab
from restaurant_wa.local.places import BRIDGE_DIR
from restaurant_wa.local.ports import free_port

OWN = "+49172000"  # the numbers of its accounts: and five digits
LINKS_S = 3.0  # each account, at most
LATE_S = 120.0


class Bare:
    """As many accounts as the installation has sessions, on the same network. Raises Problem."""

    def __init__(self, lab: Lab, *, accounts: int, prefix: str) -> None:
        self._accounts = accounts
        self._port = free_port()
        self._log = lab.logs / "bare.log"
        site = lab.site
        places = ["--network", site.env["SIMULATOR_URL"], "--socket", site.env["WA_SOCKET_URL"], "--port", str(self._port)]
        numbers = ["--accounts", str(accounts), "--own", OWN, "--prefix", prefix]
        argv = [site.env["NODE_BINARY"], str(BRIDGE_DIR / "bench" / "bare.js"), *places, *numbers]
        self._child: Child = lab.children.spawn(Program(name="bare", argv=argv, log=self._log, env=site.env, cwd=BRIDGE_DIR))

    @property
    def pid(self) -> int:
        return self._child.pid

    def wait_linked(self) -> None:
        deadline = time.monotonic() + 60 + self._accounts * LINKS_S
        while not self._answers():
            if not self._child.running or time.monotonic() > deadline:
                raise Problem(f"The loop around Baileys did not link: {self._child.last_words()} (log: {self._log})")
            time.sleep(0.2)

    def send(self, *, seconds: float, first: int, base: int, spread: int, most: int = 1_000_000) -> tuple[int, int]:
        """Messages acked in that time, and the first number that no account has used yet."""
        answer = self._ask({"seconds": seconds, "first": first, "base": base, "spread": spread, "most": most}, seconds + LATE_S)
        return int(answer["sent"]), int(answer["next"])

    def _answers(self) -> bool:
        try:
            self._ask({"seconds": 0, "first": 0, "base": 0, "spread": 1, "most": 0}, 2)
        except OSError:
            return False
        return True

    def _ask(self, order: dict[str, float], timeout_s: float) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}/", json.dumps(order).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return json.load(answer)
