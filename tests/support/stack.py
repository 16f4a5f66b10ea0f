"""Real parts for end-to-end tests: an installation of its own (`restaurant_wa.local.lab`) for each stack.

    def test_it(make_stack):
        stack = make_stack(workers=1, PACE_MIN_DELAY_MS=50, PACE_MAX_DELAY_MS=100)
        stack.kill("session-1")

Configuration goes by environment only, so that the product needs no code path of its own for tests.
"""

import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg.rows import dict_row

from restaurant_wa.local.children import Program, tail
from restaurant_wa.local.lab import Lab
from restaurant_wa.local.parts import Part
from restaurant_wa.local.postgres import Postgres
from tests.support import databases
from tests.support.clocks import SetClock
from tests.support.http import Json

T = TypeVar("T")


class Stack(Lab):
    """Started by the `make_stack` fixture; everything it started is gone when the test is over.

    Its database is a clone of one that was migrated once, unless it is to have a PostgreSQL of its own.
    """

    def __init__(
        self, directory: Path, *, own_postgres: bool = False, database_clock: SetClock | None = None, **configuration: object
    ) -> None:
        self._own: dict[str, dict[str, str]] = {}
        self._database_clock = database_clock
        super().__init__(directory, configuration=configuration, own_postgres=own_postgres)
        if own_postgres:
            databases.migrate(self.site.env)
        self.api = Json(self.site.env["WEB_URL"])
        self.network = Json(self.site.env["SIMULATOR_URL"])

    def configure(self, name: str, **configuration: object) -> None:
        """Environment of one part alone, from its next start on."""
        self._own[name] = {key: str(value) for key, value in configuration.items()}

    def running(self, name: str) -> bool:
        """Whether it was started and neither stopped nor killed."""
        return name in self._running

    def ended(self) -> list[str]:
        """Those that have ended by themselves: nobody starts them again here."""
        return [name for name, child in self._running.items() if not child.running]

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text(errors="replace")

    def sql(self, query: str, *values: object) -> list[dict[str, Any]]:
        """Rows of a query; none of a statement without rows."""
        with psycopg.connect(self.database, connect_timeout=5, row_factory=dict_row) as connection:
            cursor = connection.execute(query.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def manage(self, *arguments: str) -> str:
        """Run one of manage.py's commands; its output. A failure fails the test."""
        return databases.manage(self.site.env, *arguments)

    def close(self) -> None:
        super().close()
        if self._postgres is None:
            databases.drop(self.database)
        shutil.rmtree(self.data, ignore_errors=True)

    def last_logs(self, size: int = 3_000) -> Iterable[tuple[str, str]]:
        for log in sorted(self.logs.glob("*.log")):
            if text := tail(log, size):
                yield log.stem, text

    def _part(self, name: str) -> Part:
        part = super()._part(name)
        return replace(part, program=replace(part.program, env={**part.program.env, **self._own.get(name, {})}))

    def _make_postgres(self, directory: Path, password: str) -> Postgres:
        if self._database_clock is None:
            return super()._make_postgres(directory, password)
        postgres = PostgresByClock(data=directory, password=password, log=self.logs / "postgres.log")
        postgres.clock = self._database_clock
        return postgres

    def _make_database(self) -> tuple[str, str]:
        if self._postgres is not None:
            return super()._make_database()
        url = databases.clone()
        return url, databases.as_bridge(url)


class PostgresByClock(Postgres):
    """Runs by a clock that can be set."""

    clock: SetClock

    def _program(self) -> Program:
        program = super()._program()
        return replace(program, env={**program.env, **self.clock.environment})


def eventually(check: Callable[[], T], *, timeout: float = 40.0, what: str = "", every: float = 0.05) -> T:
    """The first true value of `check`, for what sends no event to wait for. Fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := check()):
        assert time.monotonic() < deadline, f"waited {timeout:g} s in vain for {what or check.__name__}; last: {value!r}"
        time.sleep(every)
    return value
