"""The live link page and the address it polls."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from sessions_app.models import Session, Worker
from tests.admin.conftest import House, be

QR = "https://wa.me/settings/linked_devices#ref,noise,identity,adv+/=,1"


def page(house: House) -> str:
    return f"/admin/sessions_app/session/{house.session.pk}/link/"


def showing_qr(house: House, worker: Worker, qr: str = QR) -> Session:
    now = timezone.now()
    more = {"qr": qr, "qr_generated_at": now, "qr_expires_at": now + timedelta(seconds=60)}
    return be(house.session, state="linking", owner=worker, link_until=now + timedelta(minutes=5), **more)


def test_opening_it_changes_nothing(manager: Client, ours: House, worker: Worker) -> None:
    html = manager.get(page(ours)).content.decode()
    assert "Not linked yet" in html and "Show QR" in html
    ours.session.refresh_from_db()
    assert ours.session.link_until is None


def test_the_button_asks_for_a_code(manager: Client, ours: House, worker: Worker) -> None:
    answer = manager.post(page(ours), {"do": "qr"}, follow=True)
    assert "Getting a code" in answer.content.decode()
    ours.session.refresh_from_db()
    assert ours.session.link_until is not None and ours.session.link_phone == ""
    event = ours.session.events.get(kind="link_requested")
    assert event.detail["by"] == "manager-Lucia"


def test_a_number_asks_for_a_pairing_code(manager: Client, ours: House, worker: Worker) -> None:
    manager.post(page(ours), {"do": "code", "phone": "0151 12345678"})
    ours.session.refresh_from_db()
    assert ours.session.link_phone == "+4915112345678"
    be(ours.session, state="linking", owner=worker, pairing_code="WXYZ1234")
    assert "WXYZ-1234" in manager.get(page(ours)).content.decode()


def test_a_wrong_number_is_said_plainly(manager: Client, ours: House) -> None:
    html = manager.post(page(ours), {"do": "code", "phone": "12"}, follow=True).content.decode()
    assert "not a valid phone number" in html
    ours.session.refresh_from_db()
    assert ours.session.link_until is None


@pytest.mark.parametrize("phone", ["", "   "])
def test_a_pairing_code_needs_a_number(manager: Client, ours: House, phone: str) -> None:
    html = manager.post(page(ours), {"do": "code", "phone": phone}, follow=True).content.decode()
    assert "Enter the number" in html and "Not linked yet" in html
    ours.session.refresh_from_db()
    assert ours.session.link_until is None


def test_stop_ends_the_window(manager: Client, ours: House, worker: Worker) -> None:
    manager.post(page(ours), {"do": "qr"})
    manager.post(page(ours), {"do": "stop"})
    ours.session.refresh_from_db()
    assert ours.session.link_until is None


def test_an_unknown_deed_is_refused(manager: Client, ours: House) -> None:
    assert manager.post(page(ours), {"do": "explode"}).status_code == 400


def test_the_qr_is_drawn_and_scannable_by_a_virtual_phone(
    manager: Client, ours: House, worker: Worker, settings: Settings
) -> None:
    settings.SIMULATOR_URL = "http://127.0.0.1:8099/"
    showing_qr(ours, worker)
    html = manager.get(page(ours)).content.decode()
    assert "<svg" in html and "data-expires=" in html
    scan = (
        "http://127.0.0.1:8099/?scan=https%3A%2F%2Fwa.me%2Fsettings%2Flinked_devices%23ref%2Cnoise%2Cidentity%2Cadv%2B%2F%3D%2C1"
    )
    assert f'href="{scan}"' in html


def test_it_warns_when_whatsapp_is_real(manager: Client, ours: House, worker: Worker, settings: Settings) -> None:
    settings.SIMULATOR_URL = ""
    showing_qr(ours, worker)
    html = manager.get(page(ours)).content.decode()
    assert "It can cost you the number" in html
    assert "virtual phone" not in html and "WhatsApp is simulated" not in html


def test_a_hostile_qr_text_stays_text(manager: Client, ours: House, worker: Worker) -> None:
    showing_qr(ours, worker, qr='"><script>alert(1)</script>')
    assert "<script>alert" not in manager.get(page(ours)).content.decode()


def test_an_unchanged_state_costs_a_304(manager: Client, ours: House, worker: Worker) -> None:
    showing_qr(ours, worker)
    first = manager.get(page(ours) + "state/")
    assert first.json()["phase"] == "qr" and "<svg" in first.json()["html"] and int(first["X-Now"]) > 0
    again = manager.get(page(ours) + "state/", headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    be(ours.session, state="connected", linked_at=timezone.now(), phone="+4915112345678", qr="")
    newer = manager.get(page(ours) + "state/", headers={"If-None-Match": first["ETag"]})
    assert newer.status_code == 200 and newer.json()["phase"] == "linked"


def test_polling_is_cheap(manager: Client, ours: House, worker: Worker, django_assert_max_num_queries: object) -> None:
    showing_qr(ours, worker)
    etag = manager.get(page(ours) + "state/")["ETag"]
    with django_assert_max_num_queries(5):  # type: ignore[operator]
        manager.get(page(ours) + "state/", headers={"If-None-Match": etag})


def test_a_signed_out_poll_is_told_so(manager: Client, ours: House) -> None:
    manager.logout()
    answer = manager.get(page(ours) + "state/")
    assert (answer.status_code, answer.json()) == (401, {"error": "signed_out"})


def test_a_linked_session_is_not_linked_again(manager: Client, ours: House, worker: Worker) -> None:
    be(ours.session, state="connected", linked_at=timezone.now(), phone="+4915112345678")
    html = manager.post(page(ours), {"do": "qr"}, follow=True).content.decode()
    assert "log it out first" in html and "Linked with +49 1511 2345678" in html


def test_a_new_session_leads_to_its_link_page(manager: Client, ours: House) -> None:
    form = {"restaurant": str(ours.restaurant.pk), "name": "Second line"}
    answer = manager.post("/admin/sessions_app/session/add/", form)
    made = Session.objects.get(name="Second line")
    assert answer["Location"] == f"/admin/sessions_app/session/{made.pk}/link/"
    assert made.events.get().kind == "created"


def test_a_name_that_is_taken_is_said_plainly(manager: Client, ours: House) -> None:
    form = {"restaurant": str(ours.restaurant.pk), "name": ours.session.name}
    html = manager.post("/admin/sessions_app/session/add/", form, follow=True).content.decode()
    assert "already" in html
    assert Session.objects.filter(restaurant=ours.restaurant).count() == 1
