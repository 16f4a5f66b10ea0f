"""The file that says by its age that a worker does its work, and the health checks that go by it."""

import os
import subprocess
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models import F
from ruamel.yaml import YAML

from restaurant_wa.local.places import BASE_DIR
from sessions_app.models import Worker
from sessions_app.services import ownership
from tests.support.disks import SmallDisk, can_mount
from tests.support.fixtures import MakeStack
from tests.support.stack import eventually
from tests.workers.conftest import MakeRunner
from tests.workers.watching import logged
from workers.alive import AliveFile
from workers.clocks import steady


def make_old(file: Path) -> None:
    os.utime(file, (0, 0))


def touched(file: Path) -> bool:
    return file.exists() and file.stat().st_mtime > 0


def touch(alive: AliveFile) -> None:
    alive.touch()
    until_done(alive)


def until_done(alive: AliveFile) -> None:
    assert alive._hand
    alive._hand.join(10)


# --- Who touches it


def test_a_session_worker_touches_it_whenever_its_lease_is_renewed(
    make_runner: MakeRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, refused = tmp_path / "alive", 0

    def refuse(**_: Any) -> None:
        nonlocal refused
        refused += 1
        raise OperationalError("server closed the connection unexpectedly")

    make_runner(alive_file=str(file))
    for _ in range(2):
        eventually(lambda: touched(file), what="a renewal")
        make_old(file)
    monkeypatch.setattr(ownership, "renew", refuse)
    eventually(lambda: refused >= 1, what="what was under way to end")
    make_old(file)
    eventually(lambda: refused >= 3, what="some beats in vain")
    assert not touched(file)


def test_a_place_that_cannot_be_written_costs_no_heartbeat_and_is_told_once(
    make_runner: MakeRunner, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "missing" / "alive"
    make_runner(alive_file=str(file))
    beaten = Worker.objects.filter(heartbeat_at__gt=F("started_at") + timedelta(seconds=1))
    eventually(beaten.exists, what="some beats")
    assert len(logged(caplog, "alive_file.failed")) == 1
    file.parent.mkdir()
    eventually(lambda: touched(file), what="the file")


@pytest.mark.skipif(not can_mount(), reason="NO SMALL DISK: mounting one takes root")
def test_a_full_disk_is_told_once_until_it_has_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with SmallDisk(tmp_path / "disk", megabytes=1, files=10) as disk:
        alive = AliveFile(str(disk.path / "alive"))
        disk.fill()
        touch(alive)
        touch(alive)
        assert [line["error"] for line in logged(caplog, "alive_file.failed")] == [
            f"[Errno 28] No space left on device: '{disk.path / 'alive'}'"
        ]
        disk.free()
        touch(alive)
        assert touched(disk.path / "alive")


def test_a_disk_that_stands_still_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    under_way, go_on, touches = threading.Event(), threading.Event(), 0

    def stand_still(self: Path) -> None:
        nonlocal touches
        touches += 1
        under_way.set()
        go_on.wait(30)

    monkeypatch.setattr(Path, "touch", stand_still)
    alive, began = AliveFile(str(tmp_path / "alive")), steady()
    alive.touch()
    assert under_way.wait(10)
    alive.touch()
    alive.touch()
    assert steady() - began < 5 and touches == 1, "one waits, not a row of them"
    go_on.set()
    until_done(alive)
    touch(alive)
    assert touches == 2


def test_without_a_path_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    alive = AliveFile("")
    alive.touch()
    assert alive._hand is None and list(tmp_path.iterdir()) == []


@pytest.mark.e2e
def test_a_default_worker_touches_it_by_sweeps_and_beat_by_what_it_asks_for(make_stack: MakeStack, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("default", "beat")}
    stack = make_stack(start=False)
    for name, file in files.items():
        stack.configure(name, WORKER_ALIVE_FILE=file)
    stack.start("beat")
    eventually(lambda: touched(files["beat"]), what="beat to ask for something")
    assert not files["default"].exists()
    stack.start("default")
    eventually(lambda: touched(files["default"]), what="a sweep")
    stack.stop("valkey")
    eventually(lambda: "Connection refused" in stack.log("beat"), what="beat to ask in vain")
    make_old(files["beat"])
    stack.start("valkey")
    eventually(lambda: touched(files["beat"]), what="beat to go on")


# --- The health checks of docker-compose.yml


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load(BASE_DIR / "docker-compose.yml")["services"][name]
    return found


def is_healthy(name: str, file: Path, **environment: str) -> bool:
    """By the health check of that service, as its container's shell reads it."""
    kind, command = service(name)["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    env = {"PATH": os.environ["PATH"], "WORKER_ALIVE_FILE": str(file), **environment}
    argv = ["sh", "-c", command.replace("$$", "$")]
    return subprocess.run(argv, env=env, capture_output=True, timeout=10, check=False).returncode == 0


def aged(file: Path, seconds: float) -> Path:
    file.touch()
    at = file.stat().st_mtime - seconds
    os.utime(file, (at, at))
    return file


@pytest.mark.parametrize(("name", "young", "old"), [("worker", 2, 7), ("default-worker", 20, 31), ("beat", 20, 31)])
def test_a_container_is_healthy_while_its_file_is_young(name: str, young: float, old: float, tmp_path: Path) -> None:
    assert service(name)["environment"]["WORKER_ALIVE_FILE"]
    assert not is_healthy(name, tmp_path / "alive"), "it is not there yet"
    assert is_healthy(name, aged(tmp_path / "alive", young))
    assert not is_healthy(name, aged(tmp_path / "alive", old))
    assert not is_healthy(name, Path(""), WORKER_ALIVE_FILE="")


def test_a_session_workers_health_goes_by_the_lease_that_is_set(tmp_path: Path) -> None:
    file = aged(tmp_path / "alive", 12)
    assert is_healthy("worker", file, WORKER_TTL_S="20.5") and not is_healthy("worker", file, WORKER_TTL_S="10")
