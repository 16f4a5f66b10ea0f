"""`manage.py bench failover` and `manage.py bench rolling`: what a crash and a rolling restart cost (docs/performance.md)."""

import json
import os
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from restaurant_wa.bench import failover, load, rolling
from restaurant_wa.bench.trial import Plan, Trial
from restaurant_wa.local.console import Problem, die

RUNS = {"failover": (failover.run, 12), "rolling": (rolling.run, 24)}
MUST_BE_ZERO = ("lost", "shown_twice", "out_of_order", "new_qr")


class Command(BaseCommand):
    help = "Measure a fail-over or a rolling restart, on an installation of its own with a simulated network."
    requires_system_checks = ()  # its databases are not there yet

    def add_arguments(self, parser: ArgumentParser) -> None:
        kinds = parser.add_subparsers(dest="kind", required=True, metavar="failover|rolling")
        for name, (_, messages) in RUNS.items():
            _add_run(kinds.add_parser(name), messages)
        for name in ("link", "fill"):  # what a run does inside its installation
            step = kinds.add_parser(name)
            for size in ("--sessions", "--customers", *(("--messages",) if name == "fill" else ())):
                step.add_argument(size, type=int, required=True)

    def handle(self, *, kind: str, **options: Any) -> None:
        match kind:
            case "link":
                _link(options["sessions"], options["customers"], self._say)
            case "fill":
                load.fill(count=options["sessions"], customers=options["customers"], each=options["messages"])
            case _:
                self._run(kind, options)

    def _run(self, kind: str, options: dict[str, Any]) -> None:
        try:
            plan = _plan(options)
            load_before = os.getloadavg()[0]  # of other programs: above 0 the times are worse than they need be
            figures = self._measure(kind, plan, options["data"])
        except Problem as problem:
            die(problem)
        machine = {"cpus": os.cpu_count(), "load_before": load_before}
        told = json.dumps({"bench": kind, **vars(plan), **_rounded({**machine, **figures})}, indent=2)
        self.stdout.write(told)
        if options["json"]:
            options["json"].write_text(told + "\n")
        if wrong := [f"{name} {figures[name]}" for name in MUST_BE_ZERO if figures[name]]:
            raise CommandError(f"Not as it must be: {', '.join(wrong)}.")

    def _measure(self, kind: str, plan: Plan, data: Path | None) -> dict[str, Any]:
        run, _ = RUNS[kind]
        with tempfile.TemporaryDirectory(prefix="restaurant-wa-bench-") as temporary:
            os.chmod(temporary, 0o711)  # PostgreSQL's unprivileged user passes through
            with Trial(plan, data=data or Path(temporary) / "data", say=self._say) as trial:
                return run(trial)

    def _say(self, line: str) -> None:
        self.stdout.write(f"    {line}")
        self.stdout.flush()


def _add_run(parser: ArgumentParser, messages: int) -> None:
    parser.add_argument("--sessions", type=int, default=50, help="linked sessions (default 50)")
    parser.add_argument("--workers", type=int, default=4, help="session workers (default 4)")
    parser.add_argument("--messages", type=int, default=messages, help=f"of each session (default {messages})")
    parser.add_argument("--pace", type=int, nargs=2, default=[2_000, 10_000], metavar="MS", help="shortest and longest pause")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep everything there, logs too (default: a temporary place)")


def _plan(options: dict[str, Any]) -> Plan:
    if min(options["sessions"], options["messages"]) < 1 or options["workers"] < 2:
        raise Problem("It takes at least 1 session, 1 message and 2 workers.")
    shortest, longest = options["pace"]
    if not 0 <= shortest <= longest:
        raise Problem("The pace is the shortest pause, then the longest.")
    sizes = {name: options[name] for name in ("sessions", "workers", "messages")}
    return Plan(**sizes, pace_ms=(shortest, longest))


def _link(count: int, customers: int, say: load.Say) -> None:
    try:
        load.prepare(count=count, customers=customers, say=say)
    except (OSError, TimeoutError) as error:
        raise CommandError(f"The sessions could not be linked: {error}") from error


def _rounded(figures: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 2) if isinstance(value, float) else value for name, value in figures.items()}
