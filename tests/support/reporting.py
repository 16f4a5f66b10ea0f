"""Some tests need what not every machine has, and say loudly where it is missing; the closing lines count the Node tests."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = {  # how the reason of such a skip begins: what did not run, and what would make it
    "NO CHROMIUM": "browser tests did NOT run: install chromium, or set CHROMIUM to its path.",
    "NO FAKETIME": "tests with a clock that is set did NOT run: install libfaketime, or set FAKETIME to its path.",
    "NO SMALL DISK": "tests with a full disk did NOT run: mounting one in memory takes root.",
}
MAC_CHROME = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"


def chromium_path() -> str | None:
    """CHROMIUM, else what is on PATH."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    return found or (MAC_CHROME if Path(MAC_CHROME).exists() else None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") and chromium_path() is None:
        pytest.skip("NO CHROMIUM: this browser test did not run. Install chromium, or set CHROMIUM to its path.")


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any) -> None:
    _count_node_tests(terminalreporter)
    skipped = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    for reason, words in MISSING.items():
        if count := sum(reason in text for text in skipped):
            terminalreporter.section(f"{reason} FOUND", sep="!", red=True, bold=True)
            terminalreporter.line(f"{count} {words}")


def _count_node_tests(terminalreporter: Any) -> None:
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    counts = [count for count in (dict(report.user_properties) for report in reports) if "node_tests" in count]
    if counts:
        total, skipped = (sum(count[name] for count in counts) for name in ("node_tests", "node_skipped"))
        terminalreporter.write_sep("=", "Node")
        terminalreporter.line(f"{total} tests in {len(counts)} files, {skipped} skipped")
