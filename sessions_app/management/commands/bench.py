"""`manage.py bench …`: what crashes, restarts, paced queues, sends and sessions cost (docs/performance.md)."""

import json
import os
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from restaurant_wa.bench import drain, failover, load, memory, paced, queues, rolling, send
from restaurant_wa.bench.installation import installed
from restaurant_wa.bench.trial import Plan, Trial
from restaurant_wa.local.console import Problem, die

Options = dict[str, Any]
CRASHES = {"failover": (failover.run, 12), "rolling": (rolling.run, 24)}
STEADY = ("drain", "paced", "send", "memory")
# What a run does inside its installation.
STEPS = {"link": ("sessions", "customers"), "fill": ("sessions", "customers", "messages"), "sessions": ("sessions",)}
MUST_BE_ZERO = ("lost", "shown_twice", "out_of_order", "new_qr", "failed")


class Command(BaseCommand):
    help = "Measure fail-over, rolling restarts, the drain, the pace, sends and memory, each on an installation of its own."
    requires_system_checks = ()  # its databases are not there yet

    def add_arguments(self, parser: ArgumentParser) -> None:
        kinds = parser.add_subparsers(dest="kind", required=True, metavar="|".join((*CRASHES, *STEADY)))
        for name, (_, messages) in CRASHES.items():
            _add_crash(_with_common(kinds.add_parser(name), sessions=50), messages)
        _add_drain(_with_common(kinds.add_parser("drain"), sessions=5_000))
        _add_paced(_with_common(kinds.add_parser("paced"), sessions=300))
        _add_send(_with_common(kinds.add_parser("send"), sessions=50))
        _add_memory(_with_common(kinds.add_parser("memory"), sessions=500))
        kinds.add_parser("wish").add_argument("--desired", choices=load.WISHES, required=True)
        for name, sizes in STEPS.items():
            step = kinds.add_parser(name)
            for size in sizes:
                step.add_argument(f"--{size}", type=int, required=True)

    def handle(self, *, kind: str, **options: Any) -> None:
        match kind:
            case "link":
                _link(options["sessions"], options["customers"], self._say)
            case "fill":
                load.fill(count=options["sessions"], customers=options["customers"], each=options["messages"])
            case "sessions":
                queues.make_sessions(options["sessions"])
            case "wish":
                load.wish(options["desired"])
            case "drain":
                self._report(kind, options, self._drain)
            case "paced":
                self._report(kind, options, self._paced)
            case "send":
                self._report(kind, options, self._send)
            case "memory":
                self._report(kind, options, self._memory)
            case _:
                self._report(kind, options, lambda options: self._crash(kind, options))

    def _report(self, kind: str, options: Options, measure: Callable[[Options], Mapping[str, Any]]) -> None:
        try:
            load_before = os.getloadavg()[0]  # of other programs: above 0 the times are worse than they need be
            figures = measure(options)
        except Problem as problem:
            die(problem)
        machine = {"cpus": os.cpu_count(), "load_before": load_before}
        told = json.dumps({"bench": kind, **_rounded({**machine, **figures})}, indent=2)
        self.stdout.write(told)
        if options["json"]:
            options["json"].write_text(told + "\n")
        if wrong := [f"{name} {figures[name]}" for name in MUST_BE_ZERO if figures.get(name)]:
            raise CommandError(f"Not as it must be: {', '.join(wrong)}.")

    def _crash(self, kind: str, options: Options) -> dict[str, Any]:
        if min(options["sessions"], options["messages"]) < 1 or options["workers"] < 2:
            raise Problem("It takes at least 1 session, 1 message and 2 workers.")
        sizes = {name: options[name] for name in ("sessions", "workers", "messages")}
        plan = Plan(**sizes, pace_ms=_pace(options))
        with installed(plan.configuration, data=options["data"], say=self._say) as house:
            run, _ = CRASHES[kind]
            return {**vars(plan), **run(Trial(plan, house))}

    def _drain(self, options: Options) -> dict[str, Any]:
        pace = _pace(options)
        if options["sessions"] < 1 or options["seconds"] <= 0 or pace[0] < 10 or min(options["backlog"], options["hot"]) < 0:
            raise Problem("It takes at least 1 session, some seconds and a pause of 10 ms.")
        sizes = {name: options[name] for name in ("sessions", "seconds", "bridge_ms", "backlog", "hot")}
        plan = drain.Plan(**sizes, pace_ms=pace)
        return {**vars(plan), **drain.run(plan, explain=options["explain"], data=options["data"], say=self._say)}

    def _paced(self, options: Options) -> dict[str, Any]:
        plan = paced.Plan(sessions=options["sessions"], seconds=options["seconds"], pace_ms=_pace(options))
        if plan.sessions < 1 or plan.seconds <= 0 or plan.pace_ms[1] < 10:
            raise Problem("It takes at least 1 session, some seconds and a pause of 10 ms.")
        return {**vars(plan), **paced.run(plan, data=options["data"], say=self._say)}

    def _send(self, options: Options) -> dict[str, Any]:
        plan = send.Plan(**{name: options[name] for name in ("sessions", "seconds", "rounds")})
        if min(plan.sessions, plan.seconds, plan.rounds) < 1:
            raise Problem("It takes at least 1 session, 1 second and 1 round.")
        return {**vars(plan), **send.run(plan, data=options["data"], say=self._say)}

    def _memory(self, options: Options) -> dict[str, Any]:
        plan = memory.Plan(**{name: options[name] for name in ("sessions", "idle_s", "settle_s", "cycles")})
        if plan.sessions < 1 or plan.idle_s < 1 or min(plan.settle_s, plan.cycles) < 0:
            raise Problem("It takes at least 1 session and 1 idle second.")
        return {**vars(plan), **memory.run(plan, data=options["data"], say=self._say)}

    def _say(self, line: str) -> None:
        self.stdout.write(f"    {line}")
        self.stdout.flush()


def _with_common(parser: ArgumentParser, *, sessions: int) -> ArgumentParser:
    parser.add_argument("--sessions", type=int, default=sessions, help=f"linked sessions (default {sessions})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep everything there, logs too (default: a temporary place)")
    return parser


def _with_pace(parser: ArgumentParser) -> None:
    parser.add_argument("--pace", type=int, nargs=2, default=[2_000, 10_000], metavar="MS", help="shortest and longest pause")


def _add_crash(parser: ArgumentParser, messages: int) -> None:
    parser.add_argument("--workers", type=int, default=4, help="session workers (default 4)")
    parser.add_argument("--messages", type=int, default=messages, help=f"of each session (default {messages})")
    _with_pace(parser)


def _add_drain(parser: ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=60.0, help="of the window that is measured (default 60)")
    parser.add_argument(
        "--bridge-ms", type=float, default=50.0, help="what a send takes in the bridge, beside typing (default 50)"
    )
    parser.add_argument("--backlog", type=int, default=0, metavar="ROWS", help="finished messages in the table (default 0)")
    parser.add_argument("--hot", type=int, default=0, metavar="N", help="more messages for one of the sessions (default 0)")
    parser.add_argument("--explain", action="store_true", help="show the plan of the claim")
    _with_pace(parser)


def _add_paced(parser: ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=600.0, help="of the window that is measured (default 600)")
    _with_pace(parser)


def _add_send(parser: ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=10.0, help="of each stretch (default 10)")
    parser.add_argument("--rounds", type=int, default=3, help="of both in turn (default 3)")


def _add_memory(parser: ArgumentParser) -> None:
    parser.add_argument("--idle", dest="idle_s", type=float, default=60.0, metavar="S", help="idle time measured (default 60)")
    parser.add_argument("--settle", dest="settle_s", type=float, default=20.0, metavar="S", help="before it (default 20)")
    parser.add_argument("--cycles", type=int, default=2, help="of closing all and opening all (default 2)")


def _pace(options: Options) -> tuple[int, int]:
    shortest, longest = options["pace"]
    if not 0 <= shortest <= longest:
        raise Problem("The pace is the shortest pause, then the longest.")
    return shortest, longest


def _link(count: int, customers: int, say: load.Say) -> None:
    try:
        load.prepare(count=count, customers=customers, say=say)
    except (OSError, TimeoutError) as error:
        raise CommandError(f"The sessions could not be linked: {error}") from error


def _rounded(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _round(value) for name, value in figures.items()}


def _round(value: Any) -> Any:
    if isinstance(value, dict):
        return _rounded(value)
    if isinstance(value, list):
        return [_round(one) for one in value]
    return round(value, 2 if abs(value) >= 1 else 4) if isinstance(value, float) else value
