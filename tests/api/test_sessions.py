import base64
import io
import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from PIL import Image

from sessions_app.models import Message, Restaurant, SendTally, Session
from sessions_app.services import messages
from tests.api.client import Answer, ApiClient, blamed, problem

VERBS = ["restart", "stop", "start", "log-out"]


def body(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.content)
    return found


def link_it() -> None:
    Session.objects.update(linked_at=timezone.now(), phone="+4915199999999", state="connected")


def test_it_creates_lists_and_shows_sessions(client: ApiClient) -> None:
    made = client.post("/sessions", {"name": "Till"})
    assert made.status_code == 201
    assert body(client.get(f"/sessions/{body(made)['id']}")) == body(made)
    assert made.headers["Location"] == f"/api/v1/sessions/{body(made)['id']}"
    assert body(client.get("/sessions"))["items"] == [body(made)]
    problem(client.post("/sessions", {"name": "Till"}), 409, "conflict")


@pytest.mark.parametrize("name", ["", "  ", "x" * 81, "a\0", 7, None])
def test_a_wrong_name_is_named(client: ApiClient, name: object) -> None:
    assert list(blamed(client.post("/sessions", {"name": name}))) == ["/name"]
    assert not Session.objects.exists()


def test_sessions_come_in_pages(client: ApiClient) -> None:
    made = [body(client.post("/sessions", {"name": f"Till {number}"}))["id"] for number in range(3)]
    first = body(client.get("/sessions", query={"limit": 2}))
    second = body(client.get("/sessions", query={"limit": 2, "cursor": first["next_cursor"]}))
    assert [item["id"] for item in first["items"] + second["items"]] == made
    assert second["next_cursor"] is None


def test_linking_by_qr(client: ApiClient, session: Session) -> None:
    answer = client.post(f"/sessions/{session.pk}/link", {"method": "qr"})
    assert answer.status_code == 202 and body(answer)["link_until"]
    problem(client.get(f"/sessions/{session.pk}/qr"), 404, "no_qr")
    now = timezone.now()
    Session.objects.update(state="linking", qr="2@abc", qr_generated_at=now, qr_expires_at=now + timedelta(seconds=60))
    shown = body(client.get(f"/sessions/{session.pk}/qr"))
    assert shown["qr"] == "2@abc"
    with Image.open(io.BytesIO(base64.b64decode(shown["image"]))) as image:
        assert image.format == "PNG" and image.size[0] == image.size[1] > 100
    assert body(client.get(f"/sessions/{session.pk}/status"))["qr_available"] is True


def test_the_qr_as_a_picture(client: ApiClient, session: Session) -> None:
    Session.objects.update(qr="2@abc", qr_generated_at=timezone.now(), qr_expires_at=timezone.now() + timedelta(seconds=60))
    answer = client.get(f"/sessions/{session.pk}/qr", Accept="image/png")
    assert answer.headers["Content-Type"] == "image/png" and answer.content.startswith(b"\x89PNG")
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("accept", ["image/png;a*=foo'x'y", "image/png; a*=1; a*0=2"])
def test_what_cannot_be_read_as_a_wish_for_a_picture_gets_json(client: ApiClient, session: Session, accept: str) -> None:
    Session.objects.update(qr="2@abc", qr_generated_at=timezone.now(), qr_expires_at=timezone.now() + timedelta(seconds=60))
    assert body(client.get(f"/sessions/{session.pk}/qr", Accept=accept))["qr"] == "2@abc"


def test_a_qr_is_never_shown_longer_than_five_minutes(client: ApiClient, session: Session) -> None:
    generated = timezone.now() - timedelta(minutes=4)
    Session.objects.update(qr="2@abc", qr_generated_at=generated, qr_expires_at=generated + timedelta(hours=1))
    shown = body(client.get(f"/sessions/{session.pk}/qr"))
    assert shown["expires_at"][:19] == (generated + timedelta(minutes=5)).isoformat()[:19]
    Session.objects.update(qr_generated_at=generated - timedelta(minutes=2))
    problem(client.get(f"/sessions/{session.pk}/qr"), 404, "no_qr")
    assert body(client.get(f"/sessions/{session.pk}/status"))["qr_available"] is False


def test_an_expired_qr_is_not_shown(client: ApiClient, session: Session) -> None:
    Session.objects.update(qr="2@abc", qr_generated_at=timezone.now(), qr_expires_at=timezone.now())
    problem(client.get(f"/sessions/{session.pk}/qr"), 404, "no_qr")


def test_linking_by_code(client: ApiClient, session: Session) -> None:
    assert client.post(f"/sessions/{session.pk}/link", {"method": "code", "phone": "0151 12345678"}).status_code == 202
    Session.objects.update(state="linking", pairing_code="ABCD1234")
    assert body(client.get(f"/sessions/{session.pk}/status"))["pairing_code"] == "ABCD1234"


@pytest.mark.parametrize(
    ("sent", "pointers"),
    [
        ({}, [""]),
        ({"method": "magic"}, [""]),
        ({"method": "code"}, ["/phone"]),
        ({"method": "code", "phone": "+49 30"}, ["/phone"]),
        ({"method": "qr", "phone": "0151 12345678"}, ["/phone"]),
    ],
)
def test_a_wrong_way_to_link_is_named(client: ApiClient, session: Session, sent: object, pointers: list[str]) -> None:
    answer = client.post(f"/sessions/{session.pk}/link", sent)
    assert answer.status_code == 422 and list(blamed(answer)) == pointers
    session.refresh_from_db()
    assert session.link_until is None


def test_a_linked_session_is_not_linked_again(client: ApiClient, session: Session) -> None:
    link_it()
    problem(client.post(f"/sessions/{session.pk}/link", {"method": "qr"}), 409, "conflict")


def test_verbs_are_wishes_and_the_activity_log_names_the_key(client: ApiClient, session: Session) -> None:
    link_it()
    for verb in VERBS:
        assert client.post(f"/sessions/{session.pk}/{verb}").status_code == 202, verb
    session.refresh_from_db()
    assert (session.desired, session.restart_wish, session.state) == ("unlinked", 1, "connected")
    event = session.events.first()
    assert event and (event.kind, event.detail["by"]) == ("log_out_requested", "API key till")


@pytest.mark.parametrize("verb", VERBS[:3])
def test_an_unlinked_session_has_nothing_to_restart(client: ApiClient, session: Session, verb: str) -> None:
    problem(client.post(f"/sessions/{session.pk}/{verb}"), 409, "conflict")


def test_status_tells_the_queue(client: ApiClient, session: Session) -> None:
    first = messages.enqueue(session=session, to="+4915112345678", body="hi").message
    messages.enqueue(session=session, to="+4915112345678", body="hi", priority="urgent")
    shown = body(client.get(f"/sessions/{session.pk}/status"))
    assert (shown["waiting"], shown["has_worker"]) == (2, False)
    assert shown["oldest_waiting_at"][:23] == first.created_at.isoformat()[:23]


def test_a_deleted_session_is_gone(client: ApiClient, session: Session) -> None:
    answer = client.delete(f"/sessions/{session.pk}")
    assert answer.status_code == 204 and not answer.content
    problem(client.get(f"/sessions/{session.pk}"), 404, "not_found")
    problem(client.delete(f"/sessions/{session.pk}"), 404, "not_found")
    assert body(client.get("/sessions"))["items"] == []


def test_another_restaurants_session_does_not_exist(stranger: ApiClient, session: Session) -> None:
    here = f"/sessions/{session.pk}"
    for path in (here, f"{here}/status", f"{here}/qr"):
        problem(stranger.get(path), 404, "not_found")
    for verb in VERBS:
        problem(stranger.post(f"{here}/{verb}"), 404, "not_found")
    problem(stranger.post(f"{here}/link", {"method": "qr"}), 404, "not_found")
    problem(stranger.delete(here), 404, "not_found")
    assert body(stranger.get("/sessions"))["items"] == []
    session.refresh_from_db()
    assert (session.desired, session.deleted_at, session.link_until) == ("online", None, None)


def test_its_limits_and_its_risk(client: ApiClient, session: Session) -> None:
    now = timezone.now()
    Restaurant.objects.update(daily_limit=50, hourly_limit=20, time_zone="Europe/Berlin")
    Session.objects.update(first_linked_at=now, linked_at=now, state="connected")
    quarter = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0)
    SendTally.objects.create(session=session, quarter=quarter, lane=Message.Lane.WARM, sent=3)
    SendTally.objects.create(session=session, quarter=quarter, lane=Message.Lane.NEW, sent=10)
    told = client.get(f"/sessions/{session.pk}/limits").json()
    warm, cold, new = told["lanes"]
    assert [lane["lane"] for lane in (warm, cold, new)] == ["warm", "cold", "new"]
    assert (warm["day"]["limit"], warm["day"]["used"], warm["day"]["left"]) == (50, 3, 47)
    assert (warm["hour"]["limit"], warm["warming_up"], warm["hold_reason"]) == (20, False, "")
    assert (new["day"]["limit"], new["day"]["left"], new["warming_up"]) == (10, 0, True)
    assert new["hold_reason"] == "warm_up" and new["hold_detail"].startswith("The number is new")
    assert datetime.fromisoformat(new["next_at"]) >= datetime.fromisoformat(new["day"]["resets_at"]) > now
    assert told["risk"]["level"] in ("low", "raised")
    assert {"young", "warming_up"} <= {reason["code"] for reason in told["risk"]["reasons"]}


def test_another_restaurants_limits_do_not_exist(stranger: ApiClient, session: Session) -> None:
    problem(stranger.get(f"/sessions/{session.pk}/limits"), 404, "not_found")
