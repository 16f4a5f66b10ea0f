"""`manage.py up`: everything on this machine, with one command."""

import json
import sys
import time
from argparse import ArgumentParser
from pathlib import Path

from django.conf import settings
from django.core.management.base import BaseCommand

from restaurant_wa.local import announce, lock
from restaurant_wa.local.console import Problem, die
from restaurant_wa.local.house import House, Options
from restaurant_wa.local.places import make_data
from restaurant_wa.local.stop import Stop, Stopped
from restaurant_wa.local.vault import write_private


class Command(BaseCommand):
    help = "Run everything on this machine: databases, web, workers, and a simulated WhatsApp network unless --live."
    requires_system_checks = ()  # the databases are not there yet

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="port of the web process on 127.0.0.1 (default 8000)")
        parser.add_argument("--workers", type=int, default=1, help="number of session workers (default 1)")
        parser.add_argument("--data", type=Path, help="where everything is kept (default .data; with --live .data-live)")
        parser.add_argument("--live", action="store_true", help="use the real WhatsApp instead of the simulated network")

    def handle(self, *, port: int, workers: int, data: Path | None, live: bool, **_: object) -> None:
        try:
            if workers < 1:
                raise Problem("--workers must be at least 1.")
            place = data or Path(f"{settings.DATA_DIR}-live" if live else settings.DATA_DIR)
            run(Options(data=make_data(place.absolute()), port=port, workers=workers, live=live))
        except Problem as problem:
            die(problem)


def run(options: Options) -> None:
    """Until Ctrl-C or SIGTERM. Raises Problem."""
    started = time.monotonic()
    lock.hold(options.data)
    _same_network(options)
    announce.withdraw(options.data)
    stop = Stop()
    stop.listen()
    house = House(options, stop=stop, say=lambda line: print(f"  {line}", file=sys.stderr, flush=True))
    told = options.data / "secrets" / "demo.json"
    try:
        site = house.open(furnish=["demo", "--state", str(told)], env={"DEMO_ADMIN_PASSWORD": house.vault.get("ADMIN_PASSWORD")})
        demo = json.loads(told.read_text())
        content = announce.facts(url=site.env["WEB_URL"], simulator_url=site.env.get("SIMULATOR_URL", ""), demo=demo)
        announce.write(options.data, content)
        print(announce.block(content, data=options.data, seconds=time.monotonic() - started), flush=True)
        house.supervisor.run()
    except Stopped:
        print("\nStopping …", flush=True)
    finally:
        house.close()
        announce.withdraw(options.data)
    print("Stopped.", flush=True)


def _same_network(options: Options) -> None:
    """Credentials of simulated numbers must not be shown to the real WhatsApp, nor real ones to the simulated."""
    note, network = options.data / "network", "live" if options.live else "simulated"
    if note.exists() and note.read_text().strip() != network:
        raise Problem(
            f"{options.data} belongs to the {note.read_text().strip()} WhatsApp. Choose another directory with --data DIR."
        )
    write_private(note, f"{network}\n")
