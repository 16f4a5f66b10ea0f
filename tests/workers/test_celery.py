"""The Celery shells: which worker runs what, and which queue it reads."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError, connection
from pytest_django.fixtures import Settings

from sessions_app.models import SendTally, Session, SessionEvent, Sweep
from sessions_app.services import sweeps
from tests.support.owning import ago
from tests.support.stack import eventually
from workers import tasks, wakes
from workers.alive import AliveFile
from workers.celery import app
from workers.steps import BridgeStep, RunnerStep, queue_of

ROOT = Path(__file__).resolve().parents[2]


def test_every_sweep_in_the_schedule_is_a_task() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} <= set(app.tasks)


def test_the_steps_sit_on_the_workers_blueprint_and_the_bridge_starts_first() -> None:
    assert {"workers.steps:BridgeStep", "workers.steps:RunnerStep"} <= app.steps["worker"]
    assert RunnerStep.requires == (BridgeStep,)


def test_a_default_worker_runs_neither() -> None:
    class Shell:
        """What a step sees of a worker before it is included."""

    for step in (BridgeStep, RunnerStep):
        assert not step(Shell()).include_if(Shell())
        assert step(Shell(), sessions=True).include_if(Shell())


def test_a_wake_up_reaches_the_runner_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    session = uuid4()
    tasks.wake([str(session)])  # nobody listens: dropped
    monkeypatch.setattr(wakes, "receiver", heard.extend)
    tasks.wake([str(session)])
    assert heard == [session]


def test_wake_ups_go_to_a_queue_that_one_worker_reads() -> None:
    assert queue_of("sessions-1@host") == "worker.sessions-1@host"


def test_a_session_worker_refuses_a_forking_pool() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "workers", "worker", "--sessions", "-P", "prefork", "-n", "x@here"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "start it with `--sessions -P threads`" in done.stdout + done.stderr


@pytest.mark.django_db
def test_sweeps_run_on_an_empty_database(caplog: pytest.LogCaptureFixture, settings: Settings) -> None:
    settings.MESSAGES_KEPT_DAYS = 30
    tasks.wake_due()
    tasks.expire()
    tasks.tidy()
    tasks.forget()
    assert "failed" not in caplog.text


@pytest.mark.django_db
def test_a_sweep_notes_its_time_and_touches_its_workers_file_once_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "alive"
    monkeypatch.setattr(tasks, "_alive", AliveFile(str(file)))

    def cut(execute: Any, query: str, *given: Any) -> Any:
        if "scheduled" in query:
            raise OperationalError("server closed the connection unexpectedly")
        return execute(query, *given)

    with connection.execute_wrapper(cut), pytest.raises(OperationalError):
        tasks.wake_due()
    assert sweeps.age() is None and not file.exists()
    tasks.wake_due()
    eventually(file.exists, what="the file")
    Sweep.objects.update(at=ago(seconds=60))
    tasks.wake_due()
    age = sweeps.age()
    assert age is not None and age < 10


def test_what_is_older_than_it_is_kept_is_forgotten(session: Session, settings: Settings) -> None:
    settings.MESSAGES_KEPT_DAYS = 30
    SessionEvent.objects.update(at=ago(days=31))
    tasks.forget()
    assert not SessionEvent.objects.exists()


@pytest.mark.parametrize(("days", "planned"), [("0", False), ("90", True)])
def test_forgetting_is_planned_only_where_it_is_wanted(days: str, planned: bool) -> None:
    ask = "from workers.celery import app; print('forget' in app.conf.beat_schedule)"
    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=ROOT, env=os.environ | {"MESSAGES_KEPT_DAYS": days},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(planned)


def test_old_tallies_are_tidied_away(session: Session) -> None:
    for days in (1, 60):
        SendTally.objects.create(session=session, quarter=ago(days=days), lane=0, sent=1)
    tasks.tidy()
    assert SendTally.objects.count() == 1


@pytest.mark.django_db
def test_a_sweep_that_fails_keeps_none_of_the_others_from_being_done(session: Session) -> None:
    SendTally.objects.create(session=session, quarter=ago(days=60), lane=0, sent=1)

    def cut(execute: Any, query: str, *given: Any) -> Any:
        if "webhook_delivery" in query:
            raise OperationalError("canceling statement due to statement timeout")
        return execute(query, *given)

    with connection.execute_wrapper(cut):
        tasks.tidy()
    assert not SendTally.objects.exists()
