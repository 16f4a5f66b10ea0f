"""What the log tells of a bridge's life."""

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk

from tests.support.stack import eventually
from workers.bridge_process import BridgeProcess

BRIDGE = (
    "import json, os, sys; print(json.dumps({'ready': True, 'port': 8002, 'pid': os.getpid()}), flush=True); sys.stdin.read()"
)

TALKATIVE = """
import json, os, pathlib, sys
print(json.dumps({"ready": True, "port": 8002, "pid": os.getpid()}), flush=True)
sys.stderr.write("a line of its log\\n" * 20_000)
sys.stderr.flush()
pathlib.Path(sys.argv[1]).touch()
sys.stdin.read()
"""
HOST = """
import os, pathlib, sys
from workers.bridge_process import BridgeProcess
BridgeProcess(spool=pathlib.Path(sys.argv[1]), argv=sys.argv[2:], env=dict(os.environ)).start()
sys.stdin.read()
"""


def test_readiness_an_early_end_and_the_next_start_are_lines_with_their_facts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = BridgeProcess(spool=tmp_path / "spool", argv=[sys.executable, "-c", BRIDGE], env=dict(os.environ))
    with caplog.at_level(logging.INFO):
        process.start()
        try:
            eventually(lambda: process.status.generation == 1, what="the first")
            first = process._process
            assert first is not None
            os.kill(first.pid, signal.SIGKILL)
            eventually(lambda: process.status.generation == 2, what="the second")
            eventually(lambda: [line["event"] for line in _lines(caplog)].count("bridge.ready") == 2, what="its line")
        finally:
            process.stop()
    ready, ended, why, again = _lines(caplog)
    assert (ready["event"], ready["port"], ready["pid"]) == ("bridge.ready", 8002, first.pid)
    assert (ended["event"], ended["pid"], ended["exit_code"]) == ("bridge.ended", first.pid, -signal.SIGKILL)
    assert (why["event"], again["event"]) == ("bridge.not_ready", "bridge.ready")
    assert "started again" in why["detail"] and again["pid"] != first.pid


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is the full disk here")
def test_a_log_on_a_full_disk_does_not_hold_up_the_bridge(tmp_path: Path) -> None:
    done = tmp_path / "done"
    argv = [sys.executable, "-c", HOST, str(tmp_path / "spool"), sys.executable, "-c", TALKATIVE, str(done)]
    with open("/dev/full", "w") as full, subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=full) as host:
        try:
            eventually(done.exists, what="the bridge to have said all it has to say")
        finally:
            host.kill()


def test_an_error_of_the_bridge_is_reported_as_our_own_are(tmp_path: Path) -> None:
    reported: list[Any] = []
    said = [{"level": "info", "event": "bridge ready"}, {"level": "error", "event": "it broke", "refused": "2.3000.1"}]
    lines = "".join(f"print({json.dumps(json.dumps(one, separators=(',', ':')))}, file=sys.stderr, flush=True);" for one in said)
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1", before_send=lambda event, _: reported.append(event), default_integrations=False
    )
    process = BridgeProcess(
        spool=tmp_path / "spool", argv=[sys.executable, "-c", f"import sys;{lines}{BRIDGE}"], env=dict(os.environ)
    )
    try:
        process.start()
        eventually(lambda: reported, what="the report")
    finally:
        process.stop()
        sentry_sdk.init()
    assert [(one["message"], one["level"], one["contexts"]["bridge"]["refused"]) for one in reported] == [
        ("bridge: it broke", "error", "2.3000.1")
    ]


def _lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """The entries of this module, in order; one that was made to stop says nothing of its end."""
    return [record.msg for record in caplog.records if record.name == "workers.bridge_process" and isinstance(record.msg, dict)]
