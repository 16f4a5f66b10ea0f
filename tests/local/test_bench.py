"""The benchmarks count what they say they count, and run."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from restaurant_wa.bench import drain, figures, send, slots, usage
from restaurant_wa.bench.figures import Arrival
from restaurant_wa.bench.slots import Send, Window
from restaurant_wa.local.console import Problem
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


# --- Slots


WINDOW = Window(100.0, 110.0)
KEPT = [Send("a", f"a{n}", 90.0 + 5 * n, 91.0 + 5 * n) for n in range(6)]  # 90, 95, …: a second in the bridge, 4 s of pause
PAUSES = {one.wa_id: 4_000 for one in KEPT}


def efficiency(sends: dict[str, list[Send]], pauses: dict[str, int], last: dict[str, int], sessions: int = 1) -> float:
    return slots.efficiency(sends, pauses, last, sessions=sessions, window=WINDOW)


def test_a_pace_that_is_kept_to_the_moment_is_used_whole() -> None:
    assert slots.lateness({"a": KEPT}, PAUSES, WINDOW) == [0.0, 0.0]  # those at 100 and 105
    assert efficiency({"a": KEPT}, PAUSES, {"a": 4_000}) == 1.0


def test_lateness_counts_from_the_answer_and_the_pause_that_was_drawn() -> None:
    sends = {"a": [Send("a", "a0", 98.0, 99.0), Send("a", "a1", 103.5, 104.0), Send("a", "a2", 111.0, 112.0)]}
    assert slots.lateness(sends, {"a1": 3_000, "a2": 1_000}, WINDOW) == [1.5]
    # Late from 102 to 103.5 and from 105 on, of ten seconds.
    assert efficiency(sends, {"a1": 3_000, "a2": 1_000}, {"a": 9_000}) == pytest.approx(0.35)


def test_a_session_that_falls_silent_or_never_sends_is_late_all_the_time() -> None:
    once = {"a": [Send("a", "a0", 98.0, 99.0)]}
    assert efficiency(once, {}, {"a": 2_000}) == pytest.approx(0.1)  # its next slot was at 101
    assert efficiency({"a": KEPT}, PAUSES, {"a": 4_000}, sessions=2) == pytest.approx(0.5)
    assert efficiency({}, {}, {}) == 0.0


def test_a_send_before_its_slot_shows_and_does_not_count_twice() -> None:
    sends = {"a": [Send("a", "a0", 99.0, 100.0), Send("a", "a1", 103.0, 104.0)]}
    assert slots.lateness(sends, {"a1": 5_000}, WINDOW) == [-2.0]
    assert efficiency(sends, {"a1": 5_000}, {"a": 60_000}) == 1.0


def test_the_book_is_read_by_session_in_the_order_of_arrival(tmp_path: Path) -> None:
    (tmp_path / "book").write_text("s1 B 2.0 2.5\ns2 C 1.0 1.5\ns1 A 1.0 3.0\n")
    assert slots.read(tmp_path / "book") == {
        "s1": [Send("s1", "A", 1.0, 3.0), Send("s1", "B", 2.0, 2.5)],
        "s2": [Send("s2", "C", 1.0, 1.5)],
    }


def test_a_queue_outlasts_the_shortest_pauses() -> None:
    plan = drain.Plan(sessions=1, seconds=60, pace_ms=(2_000, 10_000), bridge_ms=0, backlog=0, hot=0)
    assert plan.messages * 2 > drain.LOGINS_S + plan.spans.warm_up_s + plan.seconds + plan.spans.tail_s


def test_new_customers_are_new_in_every_round() -> None:
    plan = send.Plan(sessions=3, seconds=2, rounds=4)
    known, new = plan.kinds
    assert new.base >= known.base + known.spread
    assert new.spread >= plan.rounds * new.each
    assert plan.customers == new.base + new.spread


# --- CPU and memory


def test_it_tells_the_cpu_time_of_a_process_and_of_what_it_started() -> None:
    burn = "import time\nwhile time.process_time() < {}: pass\n"
    nested = "import subprocess, sys; subprocess.run([sys.executable, '-c', {!r}]); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", nested.format(burn.format(0.5))], stdin=subprocess.PIPE) as process:
        try:
            meter = usage.Meter(alone={"alone": process.pid}, trees={"tree": process.pid})
            deadline = time.monotonic() + 30
            while meter.taken_s()["tree"] < 0.4 and time.monotonic() < deadline:
                time.sleep(0.05)
            taken = meter.taken_s()
            assert taken["tree"] >= 0.4 > taken["alone"]
            assert 1 < usage.rss_mb(process.pid) < 500
        finally:
            process.kill()
    with pytest.raises(Problem, match="has ended"):
        usage.cpu_s(process.pid)


def test_the_bridge_is_the_only_child_of_its_worker() -> None:
    parent = "import subprocess, sys; child = subprocess.Popen(['cat'], stdin=0); print(child.pid, flush=True); child.wait()"
    command = [sys.executable, "-c", parent]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        child = int(process.stdout.readline())
        assert usage.only_child(process.pid) == child
        with pytest.raises(Problem, match="has 0 children, not one"):
            usage.only_child(child)
        process.stdin.close()


# --- End to end


def bench(tmp_path: Path, kind: str, *sizes: str) -> dict[str, Any]:
    told = tmp_path / "figures.json"
    command = [sys.executable, str(BASE_DIR / "manage.py"), "bench", kind, *sizes, "--json", str(told)]
    done = subprocess.run(
        command, env=application_environment(), capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(told.read_text())
    assert json.loads(done.stdout[done.stdout.index("\n{") :]) == found
    return found


@pytest.mark.e2e
def test_drain_tells_how_late_sends_are(tmp_path: Path) -> None:
    sizes = ("--sessions", "5", "--seconds", "2", "--pace", "100", "200", "--backlog", "300", "--hot", "50")
    found = bench(tmp_path, "drain", *sizes)
    assert 0 < found["efficiency"] <= 1
    assert found["sends"] > 5 * 2 / 0.8  # each in 200 ms, 50 in the bridge, 440 typing, and as much again
    assert 0 < found["lateness_p50_ms"] <= found["lateness_p99_ms"] <= found["lateness_max_ms"]
    assert min(found[name] for name in ("worker_cpu_percent", "cpu_ms_per_message", "rss_mb_begin", "rss_mb")) > 0
    assert min(found[name] for name in ("claim_ms", "claim_blocks", "claim_ms_without_backlog")) > 0


@pytest.mark.e2e
@pytest.mark.long
def test_paced_tells_how_late_phones_show_messages(tmp_path: Path) -> None:
    found = bench(tmp_path, "paced", "--sessions", "3", "--seconds", "4", "--pace", "200", "400")
    assert 0 < found["efficiency"] <= 1
    assert found["sends"] > 3 * 4 / 2  # in the pause, typing, and as much again
    assert 0 < found["lateness_p50_ms"] <= found["lateness_p99_ms"] <= found["lateness_max_ms"]
    assert [found[name] for name in ("failed", "uncertain", "tried_again", "sent_again")] == [0, 0, 0, 0]
    assert min(found[f"{name}_cpu_percent"] for name in ("worker", "bridge", "simulator", "web", "postgres")) > 0


@pytest.mark.e2e
@pytest.mark.long
def test_send_compares_with_baileys_alone(tmp_path: Path) -> None:
    found = bench(tmp_path, "send", "--sessions", "2", "--seconds", "1", "--rounds", "1")
    for kind in ("known", "new"):
        assert min(found[kind][name] for name in ("stack_msgs_per_s", "bare_msgs_per_s", "ratio")) > 0
        assert set(found[kind]["stack_cpu_ms"]) == {"bridge", "worker", "simulator", "web", "postgres"}
        assert set(found[kind]["bare_cpu_ms"]) == {"bare", "simulator"}
    assert found["failed"] == 0


@pytest.mark.e2e
@pytest.mark.long
def test_memory_tells_what_a_session_takes(tmp_path: Path) -> None:
    found = bench(tmp_path, "memory", "--sessions", "2", "--idle", "1", "--settle", "0", "--cycles", "1")
    assert found["bridge_mb"] > found["bridge_mb_empty"] > 0
    assert found["bridge_mb_per_session"] == pytest.approx((found["bridge_mb"] - found["bridge_mb_empty"]) / 2, abs=0.01)
    assert {"worker_kb_per_session", "idle_cpu_percent", "idle_cpu_percent_for_200", "returned_percent"} <= set(found)
    assert 0 <= found["waking_ms"] < 50
    assert len(found["bridge_mb_closed"]) == len(found["bridge_mb_open"]) == 1


@pytest.mark.e2e
@pytest.mark.long
def test_it_runs_and_finds_nothing_lost(tmp_path: Path) -> None:
    found = bench(tmp_path, "failover", "--sessions", "4", "--workers", "2", "--messages", "6", "--pace", "500", "1500")
    assert [found[name] for name in ("lost", "shown_twice", "out_of_order", "new_qr")] == [0, 0, 0, 0]
    assert 0 < found["detect_s"] <= found["first_send_s"] <= found["all_sessions_s"]
