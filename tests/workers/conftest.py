"""A runner with a stub bridge on a real database."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from sessions_app.policy.pacing import Pace
from tests.support.stub_bridge import StubBridge, StubBridgeThread
from workers.config import Config, from_settings
from workers.runner import Runner

MakeRunner = Callable[..., Runner]


@pytest.fixture
def stub(settings: Any) -> StubBridge:
    return StubBridge(secret=settings.WHATSAPP_SECRET)


@pytest.fixture
def bridge(stub: StubBridge) -> Iterator[StubBridgeThread]:
    host = StubBridgeThread(stub)
    host.start()
    yield host
    host.stop()


@pytest.fixture
def make_runner(transactional_db: None, bridge: StubBridgeThread, settings: Any) -> Iterator[MakeRunner]:
    """Starts runners: `make_runner("w1@here", pace=Pace(0, 0))`. They are stopped before the database is cleaned."""
    made: list[Runner] = []

    def make(name: str = "w1@here", *, host: StubBridgeThread | None = None, pace: Pace | None = None, **changes: Any) -> Runner:
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
