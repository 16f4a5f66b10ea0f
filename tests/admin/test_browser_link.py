"""The link page in a real browser: it follows the session's row by itself, and says so when it cannot."""

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Page, Request, expect
from pytest_django.live_server_helper import LiveServer

from sessions_app.models import Session, Worker
from tests.admin.chromium import Window
from tests.admin.conftest import House, be
from tests.admin.steps import link_title

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def window(browser: Browser, live_server: LiveServer, manager: Client) -> Iterator[Window]:
    opened = Window.open(browser)
    opened.sign_in(live_server.url, manager)
    yield opened
    opened.context.close()
    assert opened.complaints == []


@pytest.fixture
def page(window: Window, live_server: LiveServer, ours: House, worker: Worker) -> Page:
    window.page.goto(f"{live_server.url}/admin/sessions_app/session/{ours.session.pk}/link/")
    return window.page


def show_qr(house: House, worker: Worker, *, seconds: int = 60, qr: str = "2@first") -> Session:
    now = timezone.now()
    times = {"qr_generated_at": now, "qr_expires_at": now + timedelta(seconds=seconds), "link_until": now + timedelta(minutes=5)}
    return be(house.session, state="linking", owner=worker, qr=qr, **times)


def test_it_goes_from_the_button_to_linked_by_itself(page: Page, ours: House, worker: Worker) -> None:
    link_title(page, "Not linked yet")
    page.get_by_role("button", name="Show QR").click()
    link_title(page, "Getting a code…")
    show_qr(ours, worker)
    link_title(page, "Scan this code with the restaurant's phone")
    expect(page.locator(".rw-qr svg")).to_be_visible()
    left = page.locator("[data-left]")
    expect(left).to_have_text(re.compile(r"^0:[45]\d left$"))
    expect(left).not_to_have_text(left.inner_text())
    be(ours.session, state="connecting", qr="", qr_expires_at=None)
    link_title(page, "Scanned. Connecting…")
    expect(page.locator("#link-by-code")).to_be_hidden()
    be(ours.session, state="connected", linked_at=timezone.now(), phone="+4915112345678")
    link_title(page, "Linked with +49 1511 2345678")


def test_a_spent_code_goes_and_the_next_one_appears(page: Page, ours: House, worker: Worker) -> None:
    show_qr(ours, worker, seconds=2)
    expect(page.locator(".rw-qr")).to_have_attribute("data-qr", "2@first")
    expect(page.locator(".rw-qr")).to_have_count(0)
    show_qr(ours, worker, qr="2@second")
    expect(page.locator(".rw-qr")).to_have_attribute("data-qr", "2@second")


def test_the_pairing_code_of_a_number(page: Page, ours: House, worker: Worker) -> None:
    page.get_by_label("Number of the restaurant's WhatsApp").fill("0151 12345678")
    page.get_by_role("button", name="Get a pairing code").click()
    link_title(page, "Getting a code…")
    show_qr(ours, worker, qr="")
    be(ours.session, pairing_code="ABCD1234")
    expect(page.locator(".rw-pairing")).to_have_text("ABCD-1234")


def test_what_is_typed_survives_the_refreshing(page: Page, ours: House, worker: Worker) -> None:
    field = page.get_by_label("Number of the restaurant's WhatsApp")
    field.fill("+49 151")
    show_qr(ours, worker)
    link_title(page, "Scan this code with the restaurant's phone")
    expect(field).to_have_value("+49 151")
    expect(field).to_be_focused()


def test_stop(page: Page, ours: House, worker: Worker) -> None:
    page.get_by_role("button", name="Show QR").click()
    page.get_by_role("button", name="Stop").click()
    link_title(page, "Not linked yet")


def test_a_session_that_ran_out_is_told_with_the_way_back(page: Page, live_server: LiveServer, manager: Client) -> None:
    manager.logout()
    expect(page.get_by_role("alert")).to_contain_text("You have been signed out.")
    expect(page.get_by_role("link", name="Sign in again")).to_have_attribute(
        "href", f"/admin/login/?next={page.url.removeprefix(live_server.url)}"
    )


def test_a_deleted_session_is_told(page: Page, ours: House) -> None:
    be(ours.session, deleted_at=timezone.now())
    expect(page.get_by_role("alert")).to_have_text("This session no longer exists.")


def test_a_server_in_trouble_is_told_until_it_is_back(page: Page, ours: House, worker: Worker) -> None:
    page.route("**/link/state/", lambda route: route.abort())
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    page.unroute("**/link/state/")
    show_qr(ours, worker)
    link_title(page, "Scan this code with the restaurant's phone")
    expect(page.locator("#link-trouble")).to_be_hidden()


def test_nobody_looking_means_no_asking(page: Page) -> None:
    polls: list[Request] = []
    page.on("request", lambda request: polls.append(request) if "/state/" in request.url else None)
    with page.expect_request("**/link/state/"):
        pass
    page.clock.install()
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    polls.clear()
    page.clock.run_for(10_000)
    assert polls == []
    page.evaluate("Object.defineProperty(document, 'hidden', {value: false, configurable: true})")
    with page.expect_request("**/link/state/"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_the_countdown_is_the_servers_even_if_this_clock_is_wrong(
    browser: Browser, live_server: LiveServer, manager: Client, ours: House, worker: Worker
) -> None:
    show_qr(ours, worker)
    window = Window.open(browser)
    window.sign_in(live_server.url, manager)
    window.page.clock.install(time=timezone.now() + timedelta(hours=3))
    window.page.goto(f"{live_server.url}/admin/sessions_app/session/{ours.session.pk}/link/")
    window.page.clock.run_for(300)
    expect(window.page.locator("[data-left]")).to_have_text(re.compile(r"0:5\d left"))
    window.context.close()
