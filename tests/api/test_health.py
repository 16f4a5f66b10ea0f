import json
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from sessions_app.models import Session, Sweep, Worker
from sessions_app.services import sweeps
from tests.api.client import ApiClient
from tests.support.owning import ago


def worker(name: str, *, alive: bool = True, ready: bool = True, draining: bool = False) -> Worker:
    now = timezone.now()
    return Worker.objects.create(
        name=name,
        queue=name,
        capacity=1,
        bridge_ready=ready,
        draining=draining,
        started_at=now,
        heartbeat_at=now,
        expires_at=now + timedelta(seconds=6 if alive else -1),
    )


@pytest.mark.parametrize("path", ["/health", "/api/v1/health"])
def test_it_counts_workers_and_sessions(session: Session, path: str) -> None:
    worker("a"), worker("b", alive=False), worker("c", ready=False), worker("d", draining=True)
    Session.objects.update(state="connected")
    sweeps.note(sweeps.WAKE_DUE)
    answer = Client().get(path)
    found = json.loads(answer.content)
    assert answer.status_code == 200
    assert (found["status"], found["database"], found["redis"]) == ("ok", True, True)
    assert found["workers"] == {"alive": 3, "ready": 1, "draining": 1}
    assert found["sessions"]["connected"] == 1 and sum(found["sessions"].values()) == 1
    assert 0 <= found["sweep_age_s"] < 10


def test_without_a_worker_it_is_degraded(db: None) -> None:
    sweeps.note(sweeps.WAKE_DUE)
    assert json.loads(ApiClient().get("/health").content)["status"] == "degraded"


def test_a_standstill_of_periodic_work_is_degraded(db: None) -> None:
    def told() -> tuple[str, float | None]:
        found = json.loads(ApiClient().get("/health").content)
        return found["status"], found["sweep_age_s"]

    worker("a")
    assert told() == ("degraded", None), "nobody has ever seen to anything"
    for seconds, status in ((20, "ok"), (40, "degraded")):
        sweeps.note(sweeps.WAKE_DUE)
        Sweep.objects.update(at=ago(seconds=seconds))
        found, age = told()
        assert found == status and age is not None and seconds <= age < seconds + 5


def test_probes_answer_at_the_root(db: None) -> None:
    for path in ("/livez", "/readyz"):
        assert json.loads(Client().get(path).content)["status"] == "ok"
        assert Client().head(path).status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/health"])
def test_probes_are_only_read(path: str) -> None:
    answer = Client(enforce_csrf_checks=True).post(path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_being_alive_asks_no_database() -> None:
    """Without the `db` fixture any query would fail."""
    assert Client().get("/livez").status_code == 200
