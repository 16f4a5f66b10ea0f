"""An installation of its own for one run, with what every benchmark does to one: start, ask, wait, stop."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from restaurant_wa.local.console import Problem, step
from restaurant_wa.local.lab import Lab
from restaurant_wa.local.places import BASE_DIR

Say = Callable[[str], None]
COMMAND_TIMEOUT_S = 3_600.0
QUIET_TIMEOUT_S = 60.0  # nothing moves for that long: it never will
SAY_EVERY_S = 10.0
HTTP_TIMEOUT_S = 30.0


class Installation:
    """Its databases run and are migrated; the parts are started by whoever uses it. Raises Problem."""

    def __init__(self, lab: Lab, say: Say) -> None:
        self.lab = lab
        self.say = say

    def sql(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Rows of a query; none of a statement without rows."""
        with psycopg.connect(self.lab.database, connect_timeout=5, row_factory=dict_row) as connection:
            cursor = connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def vacuum(self) -> None:
        with psycopg.connect(self.lab.database, connect_timeout=5, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")

    def manage(self, *arguments: str) -> None:
        command = [sys.executable, str(BASE_DIR / "manage.py"), *arguments]
        try:
            subprocess.run(command, env=dict(self.lab.site.env), check=True, timeout=COMMAND_TIMEOUT_S)
        except subprocess.SubprocessError as error:
            raise Problem(f"`manage.py {' '.join(arguments[:2])}` failed ({type(error).__name__}).") from error

    def network(self, path: str) -> Any:
        """What the simulated network's control API answers."""
        with urllib.request.urlopen(self.lab.site.env["SIMULATOR_URL"] + path, timeout=HTTP_TIMEOUT_S) as answer:
            return json.load(answer)

    def until(self, left: Callable[[], int], *, insist: bool = True, every_s: float = 0.5) -> None:
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
            time.sleep(every_s)

    def wait(self, seconds: float, what: str) -> None:
        """Lets it run that long."""
        with step(what):
            time.sleep(seconds)


@contextmanager
def installed(configuration: Mapping[str, object], *, data: Path | None, say: Say) -> Iterator[Installation]:
    """In `data`, where its parts keep everything, or in a temporary place. The network keeps nothing: its cost is not ours."""
    with tempfile.TemporaryDirectory(prefix="restaurant-wa-bench-") as temporary:
        os.chmod(temporary, 0o711)  # PostgreSQL's unprivileged user passes through
        with step("Starting an installation of its own"):
            lab = Lab(data or Path(temporary) / "data", configuration=configuration, simulator_keeps=False)
        made = Installation(lab, say)
        try:
            with step("Preparing its database"):
                made.manage("bridge_role", "--migrate")
            yield made
        finally:
            with step("Stopping everything"):
                lab.close()
