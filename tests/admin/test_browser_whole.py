"""A person's whole way through both faces, on real parts: link by QR and by code, send, see it arrive, be answered, log out."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.admin.chromium import Window
from tests.admin.steps import PASSWORD, link_title, make_boss, make_restaurant, sign_in
from tests.support.fixtures import MakeStack
from tests.support.stack import Stack

pytestmark = [pytest.mark.browser, pytest.mark.e2e, pytest.mark.long]
SHOP, SECOND_SHOP, GUEST = "+4915112345678", "+4915112345679", "+4915187654321"
HOSTILE = "<img src=x onerror=document.title='broken'> & <b>hello</b>"


@pytest.fixture(scope="module")
def stack(make_module_stack: MakeStack) -> Stack:
    made = make_module_stack(
        start=False, PACE_MIN_DELAY_MS=50, PACE_MAX_DELAY_MS=200, TYPING_MAX_MS=50, DJANGO_SUPERUSER_PASSWORD=PASSWORD
    )
    made.start("simulator", "web", "session-1")
    make_boss(made)
    for number, name in ((SHOP, "Luigi"), (SECOND_SHOP, "Luigi 2"), (GUEST, "Ana <b>bold</b>")):
        made.network.post("/api/phones", {"number": number, "name": name})
    return made


@pytest.fixture
def window(browser: Browser, stack: Stack) -> Iterator[Window]:
    opened = Window.open(browser)
    yield opened
    opened.context.close()
    assert opened.complaints == []


def new_session(page: Page, stack: Stack, restaurant: str) -> None:
    make_restaurant(page, stack, restaurant)
    page.goto(f"{stack.api.url}/admin/sessions_app/session/add/")
    page.locator("#id_restaurant").select_option(label=restaurant)
    page.locator("#id_name").fill("Orders")
    page.get_by_role("button", name="Save", exact=True).click()


def test_from_a_new_restaurant_to_a_guests_answer(window: Window, stack: Stack) -> None:
    page = window.page
    sign_in(page, stack)
    expect(page.get_by_text("WhatsApp is simulated.")).to_be_visible()
    new_session(page, stack, "Trattoria Luigi")
    page.get_by_role("button", name="Show QR").click()
    link_title(page, "Scan this code with the restaurant's phone")
    with page.expect_popup() as popup:
        page.get_by_role("link", name="Scan with a virtual phone").click()
    phones = popup.value
    phones.get_by_role("dialog").get_by_role("listitem").filter(has_text="+49 151 1234 5678").get_by_role(
        "button", name="Scan"
    ).click()
    expect(phones.get_by_role("status").filter(has_text="has scanned the code")).to_be_visible()
    assert "scan=" not in phones.url
    link_title(page, "Linked with +49 1511 2345678")

    page.get_by_role("link", name="Send a test message").click()
    page.get_by_label("Number").fill("0151 87654321")
    page.get_by_label("Text").fill(HOSTILE)
    page.get_by_role("button", name="Send").click()
    guest = window.context.new_page()
    guest.goto(f"{stack.network.url}/#/{GUEST}/{SHOP}")
    expect(guest.locator(".bubble .body")).to_have_text(HOSTILE)
    assert guest.title() == "Virtual phones"
    guest.get_by_label("Message", exact=True).fill("Thank you!")
    guest.get_by_role("button", name="Send").click()
    expect(guest.locator(".bubble.mine .ticks")).to_have_attribute("title", "delivered")

    row = page.locator(".rw-timeline")
    expect_reload(page, lambda: expect(row).to_contain_text("Read", timeout=500))
    assert page.title() != "broken"
    page.goto(f"{stack.api.url}/admin/sessions_app/inboundmessage/")
    expect_reload(page, lambda: expect(page.locator("#changelist-form")).to_contain_text("Thank you!", timeout=500))


def test_by_pairing_code_and_out_again(window: Window, stack: Stack) -> None:
    page = window.page
    sign_in(page, stack)
    new_session(page, stack, "Luigi on the corner")
    page.get_by_label("Number of the restaurant's WhatsApp").fill("0151 12345679")
    page.get_by_role("button", name="Get a pairing code").click()
    link_title(page, "Enter this code on the restaurant's phone")
    code = page.locator(".rw-pairing").inner_text()
    phones = window.context.new_page()
    phones.goto(f"{stack.network.url}/#/{SECOND_SHOP}")
    phones.get_by_text("Linked devices (0)").click()
    phones.get_by_label("Pairing code").fill(code)
    phones.get_by_role("button", name="Enter pairing code").click()
    link_title(page, "Linked with +49 1511 2345679")
    expect(phones.get_by_text("Linked devices (1)")).to_be_visible()
    phones.get_by_role("button", name="Log out").click()
    link_title(page, "Logged out on the phone")


def expect_reload(page: Page, check: "object", tries: int = 40) -> None:
    """Pages for looking do not refresh themselves: look again until it is so."""
    assert callable(check)
    for _ in range(tries - 1):
        try:
            check()
        except AssertionError:
            page.reload()
        else:
            return
    check()
