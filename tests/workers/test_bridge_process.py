"""The bridge as a child process: started by absolute path, told only what it may know, restarted, and never left behind."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import eventually
from workers import bridge_command, bridge_process
from workers.bridge_command import BridgeMissing, command, environment, node_binary
from workers.bridge_process import BridgeProcess

READY = "import json, os, sys; print(json.dumps({'ready': True, 'port': 8002, 'pid': os.getpid()}), flush=True); "


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Any]:
    made: list[BridgeProcess] = []

    def start(program: str, **more: Any) -> BridgeProcess:
        process = BridgeProcess(spool=tmp_path / "spool", argv=[sys.executable, "-c", program], env=dict(os.environ), **more)
        made.append(process)
        process.start()
        return process

    yield start
    for process in made:
        process.stop()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_is_ready_when_it_says_so_and_ends_when_it_is_stopped(started: Any, tmp_path: Path) -> None:
    process = started(READY + "sys.stdin.read()")
    eventually(lambda: process.status.ready, what="ready")
    assert process.status.base_url == "http://127.0.0.1:8002"
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    pid = process._process.pid
    process.stop()
    assert not alive(pid)
    assert not process.status.ready


def test_events_that_somebody_leaves_while_it_runs_are_moved_to_it(
    started: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge_process, "ADOPT_EVERY_S", 0.05)
    process = started(READY + "sys.stdin.read()")
    eventually(lambda: process.status.ready, what="ready")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "001795440944389-000001-0a1b2c3d.ndjson").write_text('{"id":"1"}\n')
    eventually(lambda: list((tmp_path / "spool").glob("*.ndjson")), what="the file")


def test_one_that_dies_is_started_again_under_a_new_generation(started: Any) -> None:
    process = started(READY + "sys.stdin.read()")
    eventually(lambda: process.status.generation == 1, what="the first")
    os.kill(process._process.pid, signal.SIGKILL)
    eventually(lambda: process.status.generation == 2 and process.status.ready, what="the second")


def test_what_it_says_of_its_trouble_is_kept(started: Any) -> None:
    process = started("import json; print(json.dumps({'ready': False, 'error': 'WA_ENCRYPTION_KEYS is malformed'}))")
    eventually(lambda: process.status.detail == "WA_ENCRYPTION_KEYS is malformed", what="its words")
    assert not process.status.ready


@pytest.mark.parametrize("program", ["print('hello')", "pass", "print('[]')"])
def test_other_words_are_no_readiness(started: Any, program: str) -> None:
    process = started(program)
    eventually(lambda: "did not say" in process.status.detail, what="the complaint")


def test_one_that_stays_silent_is_given_up_and_tried_again(started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge_process, "READY_TIMEOUT_S", 0.3)
    process = started("import time; time.sleep(60)")
    eventually(lambda: "within 0.3 s" in process.status.detail, what="the complaint")
    first = process._process.pid
    eventually(lambda: process._process.pid != first, what="another try")
    assert not alive(first)


def test_one_that_ignores_sigterm_is_killed(started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge_process, "STOP_TIMEOUT_S", 0.3)
    process = started("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + READY + "import time; time.sleep(60)")
    eventually(lambda: process.status.ready, what="ready")
    pid = process._process.pid
    process.stop()
    eventually(lambda: not alive(pid), what="its end")


def test_its_stdin_ends_with_its_parent(tmp_path: Path) -> None:
    """As for every way the worker can die: the bridge's end of the pipe is closed by the system."""
    program = "import sys; open(sys.argv[1], 'w').write('up'); sys.stdin.read(); open(sys.argv[1], 'w').write('ended')"
    mark = tmp_path / "mark"
    parent = (
        "import sys, pathlib, time, os; sys.path.insert(0, sys.argv[1])\n"
        "os.environ['DJANGO_SETTINGS_MODULE'] = 'restaurant_wa.settings'\n"
        "from workers.bridge_process import BridgeProcess\n"
        "BridgeProcess(spool=pathlib.Path(sys.argv[2]), argv=sys.argv[3:], env=dict(os.environ)).start(); time.sleep(60)"
    )
    here = str(Path(__file__).resolve().parents[2])
    argv = [sys.executable, "-c", parent, here, str(tmp_path / "spool"), sys.executable, "-c", program, str(mark)]
    pid = os.spawnv(os.P_NOWAIT, sys.executable, argv)
    try:
        eventually(lambda: mark.exists() and mark.read_text() == "up", what="the child")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    eventually(lambda: mark.read_text() == "ended", what="the child's end")


def test_it_is_started_by_absolute_path_whatever_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert all(Path(part).is_absolute() and Path(part).is_file() for part in command())


def test_missing_files_are_named_with_what_mends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any) -> None:
    monkeypatch.setattr(bridge_command, "BRIDGE", tmp_path)
    with pytest.raises(BridgeMissing, match=r"main\.js is missing: .*git checkout"):
        command()
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.js").touch()
    with pytest.raises(BridgeMissing, match=r"node_modules is missing: run `npm ci`"):
        command()
    (tmp_path / "node_modules").mkdir()
    settings.NODE_BINARY = ""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BridgeMissing, match=r"Node\.js is missing: run `npm ci` in node_bridge, or set NODE_BINARY"):
        command()
    settings.NODE_BINARY = str(tmp_path / "no-such-node")
    with pytest.raises(BridgeMissing, match="no-such-node does not exist"):
        command()


def test_another_program_can_take_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any) -> None:
    other = tmp_path / "other bridge"
    other.write_text("#!/bin/sh\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    settings.BRIDGE_COMMAND = "'other bridge' --name 'a b'"
    with pytest.raises(BridgeMissing, match=r"other bridge is missing or cannot be run \(BRIDGE_COMMAND names it\)"):
        command()
    other.chmod(0o755)
    assert command() == [str(other), "--name", "a b"]
    link = tmp_path / "python"
    link.symlink_to(sys.executable)
    settings.BRIDGE_COMMAND = str(link)
    assert command() == [str(link)]  # what it points to does not know the link's environment
    settings.BRIDGE_COMMAND = "'unfinished"
    with pytest.raises(BridgeMissing, match="BRIDGE_COMMAND cannot be read"):
        command()


def test_the_system_s_node_is_taken_when_none_came_along_with_a_warning_when_it_is_old(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(bridge_command, "BRIDGE", tmp_path)
    settings.NODE_BINARY = ""
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v20.11.0\n")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert node_binary() == node.resolve()
    assert "bridge.old_node" in caplog.text
    node.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(BridgeMissing, match="does not run"):
        node_binary()


def test_a_missing_node_is_said_once_and_looked_for_again(
    settings: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.NODE_BINARY = str(tmp_path / "node")
    process = BridgeProcess(spool=tmp_path / "spool")
    process.start()
    try:
        eventually(lambda: "does not exist" in process.status.detail, what="the detail")
        assert caplog.text.count("bridge.not_ready") == 1
    finally:
        process.stop()


def test_it_is_told_what_it_needs_and_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Any) -> None:
    monkeypatch.setenv("SECRET_KEY", "of django")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of somebody")
    monkeypatch.setenv("BRIDGE_SPOOL_MAX_MB", "12")
    monkeypatch.setenv("WA_LOOKUP_EVERY_MS", "0")
    told = environment(tmp_path)
    assert "SECRET_KEY" not in told and "AWS_SECRET_ACCESS_KEY" not in told
    assert (told["WHATSAPP_SECRET"], told["BRIDGE_EXIT_WITH_PARENT"]) == (settings.WHATSAPP_SECRET, "1")
    assert (told["BRIDGE_SPOOL_DIR"], told["BRIDGE_SPOOL_MAX_MB"]) == (str(tmp_path), "12")
    assert told["WA_LOOKUP_EVERY_MS"] == "0"
    assert json.dumps(told)
