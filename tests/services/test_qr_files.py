"""QR codes as files: they follow the rows, in a real directory."""

import io
import os
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from PIL import Image
from pytest_django import Settings

from restaurant_wa.local.places import BASE_DIR
from sessions_app.models import Restaurant, Session
from sessions_app.services import qr_codes, qr_files, sessions
from tests.support.fixtures import MakeStack
from tests.support.stack import Stack, eventually

NUMBER = "+4915112340071"


@pytest.fixture(autouse=True)
def place(settings: Settings, tmp_path: Path) -> Path:
    options = {**settings.STORAGES["qr"]["OPTIONS"], "location": str(tmp_path / "qr")}
    settings.STORAGES = {**settings.STORAGES, "qr": {**settings.STORAGES["qr"], "OPTIONS": options}}
    return tmp_path / "qr"


def show(session: Session, code: str = "2@abc", *, seconds: float = 60) -> Session:
    now = timezone.now()
    Session.objects.filter(pk=session.pk).update(
        state="linking", qr=code, qr_generated_at=now, qr_expires_at=now + timedelta(seconds=seconds)
    )
    session.refresh_from_db()
    return session


def names(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir()) if place.exists() else []


def test_the_code_that_is_shown_is_a_picture_nobody_else_can_read(session: Session, place: Path) -> None:
    show(session)
    assert qr_files.refresh() == (1, 0)
    (file,) = place.iterdir()
    assert file.name == qr_files.name_of(session) and file.name.startswith(f"{session.pk}-")
    assert file.read_bytes() == qr_codes.png("2@abc")
    with Image.open(io.BytesIO(file.read_bytes())) as image:
        assert image.format == "PNG"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (place, file)] == [0o700, 0o600]


def test_it_is_written_once_and_gives_way_to_the_next(session: Session, place: Path) -> None:
    show(session, "2@first")
    qr_files.refresh()
    before = names(place)
    assert qr_files.refresh() == (0, 0) and names(place) == before
    show(session, "2@second")
    assert qr_files.refresh() == (1, 1)
    assert names(place) == [qr_files.name_of(session)] != before


@pytest.mark.parametrize(
    "end",
    [
        {"qr_expires_at": timezone.now()},
        {"qr_generated_at": timezone.now() - timedelta(minutes=6), "qr_expires_at": timezone.now() + timedelta(hours=1)},
        {"qr": "", "linked_at": timezone.now(), "state": "connected"},
        {"deleted_at": timezone.now()},
    ],
    ids=["expired", "five minutes", "linked", "deleted"],
)
def test_it_goes_when_the_code_ends(session: Session, place: Path, end: dict[str, Any]) -> None:
    show(session)
    qr_files.refresh()
    Session.objects.update(**end)
    assert qr_files.refresh() == (0, 1)
    assert names(place) == []


def test_it_goes_when_nobody_watches_any_more(session: Session, place: Path) -> None:
    show(session)
    qr_files.refresh()
    sessions.stop_linking(session=session)
    qr_files.refresh()
    assert names(place) == []


def test_each_session_has_its_own(restaurant: Restaurant, session: Session, place: Path) -> None:
    other = sessions.create(restaurant=restaurant, name="other")
    show(session), show(other, "2@other")
    assert qr_files.refresh() == (2, 0)
    assert names(place) == sorted([qr_files.name_of(session), qr_files.name_of(other)])


def test_foreign_files_stay_and_doubles_of_ours_go(session: Session, place: Path) -> None:
    place.mkdir()
    name = qr_files.name_of(show(session))
    for each in ("logo.png", name.replace(".png", "_aB3dE6g.png")):
        (place / each).touch()
    assert qr_files.refresh() == (1, 1)
    assert names(place) == sorted([name, "logo.png"])


def test_no_code_no_directory(session: Session, place: Path) -> None:
    assert qr_files.refresh() == (0, 0)
    assert not place.exists()


@pytest.mark.parametrize(("wanted", "planned"), [("", False), ("true", True)])
def test_it_is_planned_only_where_it_is_wanted(wanted: str, planned: bool) -> None:
    ask = "from workers.celery import app; print('qr-files' in app.conf.beat_schedule)"
    env = {**os.environ, **({"QR_FILES": wanted} if wanted else {})}
    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=BASE_DIR, env=env, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == str(planned)


MAKE_SESSION = """
from sessions_app.models import Restaurant
from sessions_app.services import sessions
made = sessions.create(restaurant=Restaurant.objects.create(name="R", default_region="DE"), name="main")
print("session:" + str(sessions.link(session=made).pk))
"""


@pytest.mark.e2e
@pytest.mark.long
def test_beat_and_the_default_worker_keep_the_files_while_a_number_is_linked(make_stack: MakeStack) -> None:
    stack = make_stack(workers=1, QR_FILES="true")
    stack.network.post("/api/phones", {"number": NUMBER})
    session = stack.manage("shell", "-c", MAKE_SESSION).partition("session:")[2].strip()
    files = stack.data / "qr"
    eventually(lambda: list(files.glob(f"{session}-*.png")), what="the file", timeout=40)
    code = stack.sql("SELECT qr FROM wa_session")[0]["qr"]
    stack.network.post(f"/api/phones/{NUMBER}/scan", {"qr": code})
    eventually(lambda: _state(stack) == "connected", what="the link", timeout=30)
    eventually(lambda: not any(files.iterdir()), what="the file to go", timeout=15)


def _state(stack: Stack) -> str:
    state: str = stack.sql("SELECT state FROM wa_session")[0]["state"]
    return state
