"""The benchmarks count what they say they count, and run."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from restaurant_wa.bench import figures
from restaurant_wa.bench.figures import Arrival
from restaurant_wa.local.house import application_environment
from restaurant_wa.local.places import BASE_DIR

COMMAND_TIMEOUT_S = 600
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def arrival(session: int, number: int, seconds: float = 0.0) -> Arrival:
    return Arrival(session, number, f"{session}.{number}", NOON + timedelta(seconds=seconds))


def test_it_reads_what_phones_show_and_leaves_out_what_is_not_its_own() -> None:
    own = {"text": figures.text_of(3, 7), "id": "A", "at": "2026-03-01T12:00:00.000Z", "copies": 2}
    assert figures.read([own, {**own, "text": "hello"}]) == [Arrival(3, 7, "A", NOON, 2)]


def test_each_message_is_lost_shown_once_or_shown_twice() -> None:
    seen = [arrival(0, 0), arrival(0, 1), arrival(0, 1), arrival(1, 1)]
    assert figures.lost(seen, sessions=2, messages=2) == 1
    assert figures.shown_twice(seen) == 1


def test_order_counts_within_a_session_only() -> None:
    assert figures.out_of_order([arrival(0, 0), arrival(1, 1), arrival(0, 1), arrival(1, 2)]) == 0
    assert figures.out_of_order([arrival(0, 2), arrival(0, 0), arrival(0, 1), arrival(0, 3)]) == 2


def test_what_was_on_its_way_before_the_take_over_does_not_count_as_sending_again() -> None:
    claimed = {0: NOON, 1: NOON, 2: NOON}
    seen = [arrival(0, 0, -1), arrival(0, 1, 4), arrival(0, 2, 9), arrival(1, 0, -1), arrival(3, 0, 1)]
    assert figures.first_after(seen, claimed) == {0: NOON + timedelta(seconds=4)}


def test_a_gap_is_measured_beyond_the_pause_that_was_drawn() -> None:
    seen = [arrival(0, 0, -30), arrival(0, 1, -5), arrival(0, 2, 5), arrival(0, 3, 8)]
    assert figures.gaps(seen, {"0.2": 9_000, "0.3": 1_000}, since=NOON) == {0: (10.0, 2.0)}


def test_a_quantile_is_one_of_the_values() -> None:
    assert figures.quantile([4.0, 1.0, 3.0, 2.0], 0.5) == 3.0
    assert figures.quantile([4.0, 1.0], 1.0) == 4.0
    assert figures.quantile([], 0.5) is None


@pytest.mark.e2e
@pytest.mark.long
def test_it_runs_and_finds_nothing_lost(tmp_path: Path) -> None:
    told = tmp_path / "figures.json"
    size = ["--sessions", "4", "--workers", "2", "--messages", "6", "--pace", "500", "1500"]
    command = [sys.executable, str(BASE_DIR / "manage.py"), "bench", "failover", *size, "--json", str(told)]
    done = subprocess.run(
        command, env=application_environment(), capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(told.read_text())
    assert [found[name] for name in ("lost", "shown_twice", "out_of_order", "new_qr")] == [0, 0, 0, 0]
    assert 0 < found["detect_s"] <= found["first_send_s"] <= found["all_sessions_s"]
