"""A runner with a stub bridge on a real database; the stub in a thread, or as a process under the real host."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from restaurant_wa.local.places import BASE_DIR
from sessions_app.models import Session
from sessions_app.policy.pacing import Pace
from tests.support.receiver import Receiver, receiving
from tests.support.stack import eventually
from tests.support.stub_bridge import StubBridge, StubBridgeThread
from tests.workers.wire import Wire
from workers.bridge_process import BridgeHost, BridgeProcess
from workers.config import Config, from_settings
from workers.runner import Runner

MakeRunner = Callable[..., Runner]
MakeBridge = Callable[..., BridgeProcess]


@pytest.fixture
def stub(settings: Any) -> StubBridge:
    return StubBridge(secret=settings.WHATSAPP_SECRET)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def bridge(stub: StubBridge) -> Iterator[StubBridgeThread]:
    host = StubBridgeThread(stub)
    host.start()
    yield host
    host.stop()


@pytest.fixture
def wire(stub: StubBridge) -> Wire:
    return Wire(stub)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are found by the full look, which comes every ten seconds elsewhere."""
    monkeypatch.setattr("workers.looks.LOOKS_FOR_ALL", 1)


@pytest.fixture
def make_bridge(tmp_path: Path, settings: Any) -> Iterator[MakeBridge]:
    """Starts processes: `make_bridge("--kills", session)`, and waits until each is ready."""
    made: list[BridgeProcess] = []
    env = {**os.environ, "PYTHONPATH": str(BASE_DIR), "WHATSAPP_SECRET": settings.WHATSAPP_SECRET}

    def make(*arguments: object) -> BridgeProcess:
        argv = [sys.executable, "-m", "tests.support.stub_bridge", *map(str, arguments)]
        process = BridgeProcess(spool=tmp_path / f"spool{len(made)}", argv=argv, env=env)
        made.append(process)
        process.start()
        eventually(lambda: process.status.ready, what="the bridge")
        return process

    yield make
    for process in made:
        process.stop()


@pytest.fixture
def make_runner(transactional_db: None, bridge: StubBridgeThread, settings: Any) -> Iterator[MakeRunner]:
    """Starts runners: `make_runner("w1@here", pace=Pace(0, 0))`. They are stopped before the database is cleaned."""
    made: list[Runner] = []

    def make(name: str = "w1@here", *, host: BridgeHost | None = None, pace: Pace | None = None, **changes: Any) -> Runner:
        pace = pace or Pace(0, 0)
        settings.PACE_MIN_DELAY_MS, settings.PACE_MAX_DELAY_MS = pace.min_ms, pace.max_ms
        runner = Runner(config=config(name, **changes), host=host or bridge)
        made.append(runner)
        runner.start()
        return runner

    yield make
    for runner in made:
        assert runner.stop(15), "the runner did not stop"


def config(name: str, **changes: Any) -> Config:
    given = from_settings(name=name, queue=f"worker.{name}", hostname="here", pid=1)
    quick = {"heartbeat_s": 0.3, "typing_max_ms": 0, "look_every_s": 0.1, "finish_s": 1.0}
    return replace(given, **{**quick, **changes})


def signal_to(bridge: BridgeProcess, number: int) -> None:
    assert bridge._process
    os.kill(bridge._process.pid, number)


def until_connected(many: list[Session], *, timeout: float = 30) -> float:
    """Seconds until all are."""
    began, ids = time.monotonic(), [session.pk for session in many]
    eventually(lambda: not Session.objects.filter(pk__in=ids).exclude(state="connected").exists(), timeout=timeout, what="all")
    return time.monotonic() - began
