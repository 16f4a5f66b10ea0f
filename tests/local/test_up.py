"""`manage.py up` as a person and a machine use it: one command, real parts, and no process left however it ends."""

import json
import os
import shlex
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from restaurant_wa.local.announce import curl
from restaurant_wa.local.places import BASE_DIR
from restaurant_wa.local.ports import free_port
from tests.support.http import Json
from tests.support.processes import Process, tree
from tests.support.stack import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.long]
START_S = 120.0
STOP_S = 60.0


class Up:
    """One run of the command; its environment names no servers, so that it brings its own."""

    def __init__(self, data: Path, *arguments: str, **environment: str) -> None:
        self.data = data
        self.port = free_port()
        dropped = {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "WHATSAPP_SECRET", "WA_ENCRYPTION_KEYS", "DATA_DIR"}
        env = {name: value for name, value in os.environ.items() if name not in dropped and not name.startswith("COV_")}
        command = [sys.executable, "manage.py", "up", "--data", str(data), "--port", str(self.port), *arguments]
        self.process = subprocess.Popen(
            command, cwd=BASE_DIR, env=env | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def told(self) -> dict[str, Any]:
        """The content of up.json, once it is there."""

        def ready() -> bool:
            assert self.process.poll() is None, f"up ended early:\n{self.output()}"
            return (self.data / "up.json").exists()

        eventually(ready, timeout=START_S, what="up.json")
        content: dict[str, Any] = json.loads((self.data / "up.json").read_text())
        return content

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(STOP_S)

    def output(self) -> str:
        return self.process.communicate(timeout=STOP_S)[0]


@pytest.fixture
def ups(tmp_path: Path) -> Iterator[list[Up]]:
    """Runs to be ended whatever the test does."""
    started: list[Up] = []
    yield started
    for up in started:
        if up.process.poll() is None:
            up.end(signal.SIGTERM)
        up.process.communicate(timeout=STOP_S)
        note = up.data / "postgres-location"  # as root, and pytest's directories are closed to others
        if note.exists():
            shutil.rmtree(note.read_text().strip(), ignore_errors=True)


def test_its_curl_brings_a_message_to_a_virtual_phone_and_a_second_start_finds_everything(tmp_path: Path, ups: list[Up]) -> None:
    data = tmp_path / "data"
    ups.append(Up(data))
    first = ups[0].told()
    assert stat.S_IMODE((data / "up.json").stat().st_mode) == 0o600
    _paste_curl(first)
    phones = Json(first["simulator_url"])
    shown = eventually(
        lambda: phones.get(f"/api/phones/{first['example_to']}/shown")["messages"], what="the message on the phone"
    )
    assert [message["copies"] for message in shown] == [1]

    assert ups[0].end(signal.SIGTERM) == 0
    assert "SIMULATED" in ups[0].output()
    ups.append(Up(data))
    second = ups[1].told()
    assert {name: second[name] for name in ("admin", "api_key", "restaurant")} == {
        name: first[name] for name in ("admin", "api_key", "restaurant")
    }
    api = Json(second["url"]).with_key(second["api_key"])
    assert [session["state"] for session in api.get("/api/v1/sessions")["items"]] == ["connected"]


def test_it_leaves_no_process_behind(tmp_path: Path, ups: list[Up]) -> None:
    ups.append(Up(tmp_path / "data", "--workers", "2"))
    ups[0].told()
    family = tree(ups[0].process.pid)
    names = " ".join(each.command for each in family)
    assert all(
        part in names
        for part in ("postgres", "valkey", "granian", "session-1@", "session-2@", "beat", "simulator", "src/main.js")
    )

    assert ups[0].end(signal.SIGINT) == 0
    assert [each for each in family if each.alive()] == []


def test_killed_it_leaves_no_orphans_and_its_data_can_be_used_again(tmp_path: Path, ups: list[Up]) -> None:
    data = tmp_path / "data"
    ups.append(Up(data))
    ups[0].told()
    refused = Up(data)  # not among `ups`: its data are the first one's
    assert refused.process.wait(STOP_S) == 1
    assert "is running on" in refused.output()

    family = tree(ups[0].process.pid)
    ups[0].end(signal.SIGKILL)
    eventually(lambda: not [each for each in family if each.alive()], timeout=15, what="every process to end")
    ups.append(Up(data))
    assert ups[1].told()["url"]


def test_a_part_that_dies_is_started_again_and_if_postgresql_dies_that_is_the_end(tmp_path: Path, ups: list[Up]) -> None:
    ups.append(Up(tmp_path / "data"))
    url = ups[0].told()["url"]
    family = tree(ups[0].process.pid)
    killed = next(each for each in family if "granian" in each.command and each.parent == ups[0].process.pid)
    os.kill(killed.pid, signal.SIGKILL)
    eventually(lambda: killed.command in {each.command for each in tree(ups[0].process.pid)} and not killed.alive(), timeout=30)
    eventually(lambda: _alive(url), timeout=30, what="web to come back")

    killed = next(each for each in family if "valkey-server" in each.command)
    os.kill(killed.pid, signal.SIGKILL)
    eventually(lambda: _others(ups[0], killed), timeout=30, what="Valkey to be started again")
    eventually(lambda: Json(url).get("/health")["redis"], timeout=30, what="Valkey to come back")

    os.kill(next(each.pid for each in family if "postgres -D" in each.command), signal.SIGKILL)
    assert ups[0].process.wait(STOP_S) == 1
    output = ups[0].output()
    assert "web was killed by signal 9; starting it again" in output
    assert "valkey was killed by signal 9; starting it again" in output
    assert "error: postgres was killed by signal 9" in output


def test_live_it_runs_no_simulated_network_and_says_what_that_means(tmp_path: Path, ups: list[Up]) -> None:
    """Nothing is linked, so nothing is sent to anybody."""
    ups.append(Up(tmp_path / "data", "--live"))
    told = ups[0].told()
    assert (told["simulator_url"], told["simulated"]) == (None, False)
    assert "simulator/main.js" not in " ".join(each.command for each in tree(ups[0].process.pid))
    sessions = Json(told["url"]).with_key(told["api_key"]).get("/api/v1/sessions")["items"]
    assert [session["state"] for session in sessions] == ["unlinked"]
    assert ups[0].end(signal.SIGTERM) == 0
    assert "ban the number" in ups[0].output()


def _others(up: Up, gone: Process) -> list[Process]:
    """Processes of the same program as one that is gone."""
    program = gone.command.split()[0]
    return [each for each in tree(up.process.pid) if each.command.startswith(program) and each.pid != gone.pid]


def _alive(url: str) -> bool:
    try:
        return bool(Json(url).get("/livez"))
    except OSError:
        return False


def _paste_curl(told: dict[str, Any]) -> None:
    done = subprocess.run(shlex.split(curl(told).replace("\\\n", " ")), capture_output=True, text=True, timeout=20, check=True)
    assert json.loads(done.stdout)["status"] == "queued"
