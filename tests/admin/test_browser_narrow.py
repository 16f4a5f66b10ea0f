"""Pages on a phone: nothing is wider than the screen."""

from collections.abc import Iterator

import pytest
from django.test import Client
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from tests.admin.chromium import Window
from tests.admin.conftest import House

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
PAGES = {
    "overview": "/admin/",
    "webhook": "/admin/sessions_app/webhook/{webhook}/change/",
    "new webhook": "/admin/sessions_app/webhook/add/",
    "message": "/admin/sessions_app/message/{message}/change/",
    "session": "/admin/sessions_app/session/{session}/change/",
}


@pytest.fixture
def phone(browser: Browser, live_server: LiveServer, manager: Client) -> Iterator[Page]:
    window = Window.open(browser)
    window.sign_in(live_server.url, manager)
    window.page.set_viewport_size({"width": 390, "height": 844})
    yield window.page
    window.context.close()
    assert window.complaints == []


@pytest.mark.parametrize("name", PAGES)
def test_it_fits(phone: Page, live_server: LiveServer, ours: House, name: str) -> None:
    phone.goto(live_server.url + PAGES[name].format(**ours.rows))
    too_wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert phone.evaluate(too_wide) <= 0
