"""The supervisor's own rules, with small real processes."""

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from restaurant_wa.local import supervisor as module
from restaurant_wa.local.children import Children, Program
from restaurant_wa.local.console import Problem
from restaurant_wa.local.parts import Part
from restaurant_wa.local.stop import Stop, Stopped
from restaurant_wa.local.supervisor import Running, Supervisor, backoff, limit_log
from tests.support.processes import tree
from tests.support.stack import eventually

SLEEPS = "import time; print('ready', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"


@pytest.fixture
def children() -> Iterator[Children]:
    made = Children()
    yield made
    made.close()


def program(tmp_path: Path, code: str, *, name: str = "part", grace_s: float = 5) -> Program:
    return Program(name=name, argv=[sys.executable, "-S", "-c", code], log=tmp_path / f"{name}.log", grace_s=grace_s)


def supervisor(children: Children, said: list[str], stop: Stop | None = None) -> Supervisor:
    return Supervisor(children=children, stop=stop or Stop(), say=said.append)


def test_it_waits_longer_after_each_failure_up_to_a_limit() -> None:
    assert [backoff(failures) for failures in (1, 2, 3, 4)] == [0.5, 1, 2, 4]
    assert backoff(1_000) == module.MAX_BACKOFF_S


def test_a_part_that_ends_while_starting_is_told_with_its_last_words(tmp_path: Path, children: Children) -> None:
    watched = supervisor(children, [])
    watched.start([Part(program=program(tmp_path, "raise SystemExit('error: no such thing')"), stage=1, ready=lambda: False)])
    with pytest.raises(Problem, match="part ended with code 1: error: no such thing"):
        watched.wait_ready(10)


def test_a_part_that_is_never_ready_is_told(tmp_path: Path, children: Children) -> None:
    watched = supervisor(children, [])
    watched.start([Part(program=program(tmp_path, SLEEPS), stage=1, ready=lambda: False)])
    with pytest.raises(Problem, match="Not ready within 0 s: part"):
        watched.wait_ready(0)


def test_waiting_ends_when_stopping_is_asked_for(tmp_path: Path, children: Children) -> None:
    stop = Stop()
    stop.requests = 1
    with pytest.raises(Stopped):
        supervisor(children, [], stop).run()


def test_a_stubborn_part_is_killed_after_its_grace_or_at_once_in_a_hurry(tmp_path: Path, children: Children) -> None:
    stubborn = [children.spawn(program(tmp_path, STUBBORN, name=name, grace_s=0.3)) for name in ("one", "two")]
    eventually(lambda: all("ready" in child.program.log.read_text() for child in stubborn), what="both parts to be deaf")
    children.stop(stubborn[0])
    assert stubborn[0].process.returncode == -signal.SIGKILL
    started = time.monotonic()
    children.stop(stubborn[1], hurry=lambda: True)
    assert time.monotonic() - started < 0.3


def test_a_stopped_part_takes_its_group_along(tmp_path: Path, children: Children) -> None:
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-S', '-c', {STUBBORN!r}]); {SLEEPS}"
    child = children.spawn(program(tmp_path, code))
    eventually(lambda: child.program.log.read_text().count("ready") == 2, what="both processes")
    grandchildren = tree(child.pid)
    assert grandchildren
    children.stop(child)
    eventually(lambda: not [each for each in grandchildren if each.alive()], what="the grandchild to end")


def test_a_long_log_is_cut_and_kept_once(tmp_path: Path, children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_LIMIT", 10)
    part = Part(program=program(tmp_path, "print('a long line of text', flush=True)"), stage=1)
    child = children.spawn(part.program)
    child.process.wait(10)
    limit_log(Running(part, child))
    assert part.program.log.read_text() == ""
    assert "a long line" in (tmp_path / "part.log.1").read_text()
