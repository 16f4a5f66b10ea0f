"""What waits on disk finds a reader, whatever the name of the worker that left it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workers.spool import FEW_SEGMENTS, SpoolDirectory, SpoolHeld

SEGMENT = "001795440944389-000001-0a1b2c3d.ndjson"


def leave(directory: Path, name: str = SEGMENT) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text('{"id":"1"}\n')


def test_it_takes_over_what_nobody_holds(tmp_path: Path) -> None:
    leave(tmp_path / "session@gone")
    (tmp_path / "session@gone" / "cursor.json").write_text("{}")
    SpoolDirectory(tmp_path / "session@new").hold()
    assert (tmp_path / "session@new" / SEGMENT).read_text() == '{"id":"1"}\n'
    assert not (tmp_path / "session@gone").exists()


def test_it_leaves_alone_what_another_holds(tmp_path: Path) -> None:
    leave(tmp_path / "session@there")
    SpoolDirectory(tmp_path / "session@there").hold()
    SpoolDirectory(tmp_path / "session@new").hold()
    assert (tmp_path / "session@there" / SEGMENT).exists()


def test_what_is_let_go_later_is_taken_by_the_next_look(tmp_path: Path) -> None:
    leave(tmp_path / "session@there")
    there, mine = SpoolDirectory(tmp_path / "session@there"), SpoolDirectory(tmp_path / "session@mine")
    lock = there.hold()
    mine.hold()
    mine.adopt()
    assert (tmp_path / "session@there" / SEGMENT).exists()
    os.close(lock)  # as the end of the worker and its bridge does
    mine.adopt()
    assert (tmp_path / "session@mine" / SEGMENT).exists()
    assert not (tmp_path / "session@there").exists()


def test_beside_a_bridge_that_runs_it_takes_over_a_little_at_a_time(tmp_path: Path) -> None:
    gone, mine = tmp_path / "session@gone", SpoolDirectory(tmp_path / "session@mine")
    mine.hold()
    names = [f"00179544094438{n}-000001-0a1b2c3d.ndjson" for n in range(FEW_SEGMENTS + 1)]
    for name in names:
        leave(gone, name)
    for _ in range(2):
        mine.adopt()
        assert sorted(file.name for file in mine.path.glob("*.ndjson")) == names[:FEW_SEGMENTS]
    (mine.path / names[0]).unlink()  # the web side has taken it
    mine.adopt()
    assert sorted(file.name for file in mine.path.glob("*.ndjson")) == names[1:]
    assert not gone.exists()


def test_it_is_held_once_and_may_be_asked_again(tmp_path: Path) -> None:
    mine = SpoolDirectory(tmp_path / "mine")
    assert mine.hold() == mine.hold()
    with pytest.raises(SpoolHeld):
        SpoolDirectory(tmp_path / "mine").hold()


def test_a_bridge_that_outlives_its_worker_still_holds_it(tmp_path: Path) -> None:
    lock = SpoolDirectory(tmp_path / "mine").hold()
    bridge = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,))
    os.close(lock)  # the worker's own end, as its death closes it
    try:
        with pytest.raises(SpoolHeld):
            SpoolDirectory(tmp_path / "mine").hold()
    finally:
        bridge.communicate(b"\n", timeout=10)
    SpoolDirectory(tmp_path / "mine").hold()


def test_refused_events_stay_for_a_person(tmp_path: Path) -> None:
    leave(tmp_path / "session@gone")
    leave(tmp_path / "session@gone", "rejected.ndjson")
    SpoolDirectory(tmp_path / "session@new").hold()
    assert (tmp_path / "session@gone" / "rejected.ndjson").exists()
    assert not (tmp_path / "session@new" / "rejected.ndjson").exists()


def test_a_directory_taken_over_can_be_used_again(tmp_path: Path) -> None:
    leave(tmp_path / "session@gone")
    SpoolDirectory(tmp_path / "session@new").hold()
    SpoolDirectory(tmp_path / "session@gone").hold()
    assert (tmp_path / "session@gone").is_dir()
