"""What the link page says at every turn of linking."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from sessions_app.admin.link_state import link_view, spaced_code
from sessions_app.admin.link_words import LinkView, Phase
from sessions_app.models import Session

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SOON = NOW + timedelta(seconds=20)
WINDOW = NOW + timedelta(minutes=4)
S = Session.State


def view(*, worker_alive: bool = True, now: datetime = NOW, **row: Any) -> LinkView:
    return link_view(Session(name="Orders", **row), worker_alive=worker_alive, now=now)


OWNER = uuid4()
WITH_QR: dict[str, Any] = {
    "state": S.LINKING,
    "link_until": WINDOW,
    "qr": "2@abc",
    "qr_generated_at": NOW,
    "qr_expires_at": SOON,
    "owner_id": OWNER,
}
LINKED: dict[str, Any] = {"linked_at": NOW, "phone": "+4915112345678"}


@pytest.mark.parametrize(
    ("row", "phase", "says"),
    [
        ({}, Phase.IDLE, "Not linked yet"),
        ({"link_until": WINDOW}, Phase.WAITING, "worker takes the session"),
        ({"link_until": WINDOW, "owner_id": OWNER}, Phase.WAITING, "has been asked"),
        (WITH_QR, Phase.QR, "Scan this code"),
        ({**WITH_QR, "qr_expires_at": NOW}, Phase.WAITING, "appears here by itself"),
        ({**WITH_QR, "link_phone": "+4915112345678", "pairing_code": "ABCD1234"}, Phase.CODE, "Enter this code"),
        ({**WITH_QR, "link_until": NOW}, Phase.EXPIRED, "in time"),
        ({"state": S.CONNECTING, "link_until": WINDOW}, Phase.CONNECTING, "Scanned"),
        ({"state_reason": "link_expired"}, Phase.EXPIRED, "Nothing is lost"),
        ({"state": S.LOGGED_OUT}, Phase.LOGGED_OUT, "queue is kept"),
        ({"state_reason": "passkey_required"}, Phase.PASSKEY, "passkey"),
        ({"state": S.BLOCKED, "state_detail": "Banned until noon."}, Phase.BLOCKED, "Banned until noon."),
        ({**LINKED, "state": S.CONNECTED}, Phase.LINKED, "+49 1511 2345678"),
        ({**LINKED, "state": S.CONNECTING}, Phase.CONNECTING, "Connecting"),
        ({**LINKED, "state": S.DISCONNECTED, "state_detail": "The connection was lost."}, Phase.CONNECTING, "was lost"),
        ({**LINKED, "state": S.STOPPED}, Phase.STOPPED, "kept offline"),
        ({**LINKED, "state": S.BLOCKED}, Phase.BLOCKED, "refuses"),
        ({"state_reason": "quarantined", "state_detail": "It crashed."}, Phase.BLOCKED, "Kept apart from the others It crashed."),
        ({**LINKED, "state": S.BLOCKED, "state_reason": "quarantined"}, Phase.BLOCKED, "Kept apart"),
        ({**LINKED, "state": S.CONNECTED, "desired": "unlinked"}, Phase.LEAVING, "Logging out"),
    ],
)
def test_it_says_what_is_going_on(row: dict[str, Any], phase: Phase, says: str) -> None:
    shown = view(**row)
    assert shown.phase == phase
    assert says in f"{shown.title} {shown.text}"


@pytest.mark.parametrize("row", [{"link_until": WINDOW}, WITH_QR, {**LINKED, "state": S.DISCONNECTED}])
def test_without_a_worker_it_says_so(row: dict[str, Any]) -> None:
    shown = view(worker_alive=False, **row)
    assert shown.phase == Phase.NO_WORKER and "worker" in shown.text


def test_asking_again_after_a_passkey_shows_the_new_attempt() -> None:
    assert view(state_reason="passkey_required", link_until=WINDOW).phase == Phase.WAITING


def test_the_code_is_shown_as_whatsapp_shows_it() -> None:
    shown = view(**{**WITH_QR, "link_phone": "+4915112345678", "pairing_code": "ABCD1234"})
    assert shown.code == "ABCD-1234" and shown.qr == ""
    assert spaced_code("ABCD-1234") == "ABCD-1234" and spaced_code("SHORT") == "SHORT"


def test_a_qr_is_never_shown_past_five_minutes() -> None:
    for said in (NOW + timedelta(hours=1), None):
        row = {**WITH_QR, "qr_expires_at": said, "link_until": NOW + timedelta(hours=1)}
        assert view(**row).expires_at == NOW + timedelta(minutes=5)
        assert view(now=NOW + timedelta(minutes=5), **row).qr == ""


def test_the_version_changes_with_what_is_seen_and_with_nothing_else() -> None:
    same = view(**WITH_QR).version
    assert view(**WITH_QR, last_sent_at=NOW, term=7).version == same
    assert view(**WITH_QR, now=NOW + timedelta(seconds=5)).version == same
    assert view(**{**WITH_QR, "qr": "2@next"}).version != same
    assert view(worker_alive=False, **WITH_QR).version != same


def test_only_one_of_start_and_stop_is_offered_while_unlinked() -> None:
    assert view().can_start and not view().can_stop
    assert view(**WITH_QR).can_stop and not view(**WITH_QR).can_start
    assert not view(**LINKED, state=S.CONNECTED).can_start
