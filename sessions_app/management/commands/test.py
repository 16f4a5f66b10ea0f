"""`manage.py test`: all tests, Python's and Node's, but the long chaos rounds. Arguments go to pytest as they are."""

import os
import sys
from collections.abc import Sequence

from django.core.management.base import BaseCommand

MOST_PROCESSES = 4


class Command(BaseCommand):
    help = "Run all tests with pytest; arguments pass through (`manage.py test tests/api -x`)."
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        command = [sys.executable, "-m", "pytest", *arguments(argv[2:])]
        sys.stdout.flush()
        os.execv(sys.executable, command)


def arguments(given: Sequence[str]) -> list[str]:
    """The whole run is spread over processes, a file to each, so that what a file shares is started once, and measures
    coverage; a chosen part runs as it was asked for. One process more than cores: tests wait for a quarter of their time."""
    if given:
        return list(given)
    processes = min(MOST_PROCESSES, (os.cpu_count() or 1) + 1)
    spread = ["-n", str(processes), "--dist", "loadfile", "--no-loadscope-reorder"]  # `tests.support.order` has them in order
    return [*spread, "--cov", "--cov-report=term:skip-covered"]
