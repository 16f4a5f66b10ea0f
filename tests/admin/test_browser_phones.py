"""The virtual phones' page in a real browser, on a real simulated network."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.admin.chromium import Window
from tests.support.fixtures import MakeStack
from tests.support.stack import Stack, eventually

pytestmark = [pytest.mark.browser, pytest.mark.e2e]
ANA, BEN = "+4915187654321", "+4915187654322"


@pytest.fixture(scope="module")
def network(make_module_stack: MakeStack) -> Stack:
    made = make_module_stack(start=False)
    made.start("simulator")
    for number, name in ((ANA, "Ana"), (BEN, "<script>document.title='broken'</script>")):
        made.network.post("/api/phones", {"number": number, "name": name})
    return made


@pytest.fixture
def page(browser: Browser, network: Stack) -> Iterator[Page]:
    window = Window.open(browser)
    window.page.goto(f"{network.network.url}/")
    yield window.page
    assert window.page.title() == "Virtual phones"
    assert window.complaints == []
    window.context.close()


def test_a_copy_is_counted_and_not_shown(page: Page, network: Stack) -> None:
    for _ in range(2):
        network.network.post(f"/api/phones/{BEN}/messages", {"to": ANA, "text": "<b>once</b>", "id": "3EB0ONCE"})
    page.goto(f"{network.network.url}/#/{ANA}/{BEN}")
    expect(page.locator(".bubble .body")).to_have_text("<b>once</b>")
    expect(page.locator(".copies")).to_have_text("2 copies")


def test_what_happens_is_shown_as_it_happens(page: Page, network: Stack) -> None:
    page.goto(f"{network.network.url}/#/{ANA}")
    expect(page.locator("#live")).to_have_text("live")
    network.network.post(f"/api/phones/{BEN}/messages", {"to": ANA, "text": "right now"})
    expect(page.locator("#chats [data-list]")).to_contain_text("right now")
    expect(page.locator(".log")).to_contain_text("message.shown")


def test_an_open_chat_is_read(page: Page, network: Stack) -> None:
    network.network.post(f"/api/phones/{BEN}/messages", {"to": ANA, "text": "read me"})
    assert _unread(network) > 0
    page.goto(f"{network.network.url}/#/{ANA}/{BEN}")
    eventually(lambda: _unread(network) == 0, what="the chat to be read")
    expect(page.locator("#phones .count")).to_have_count(0)


def test_offline_and_receipts_are_switched(page: Page, network: Stack) -> None:
    page.goto(f"{network.network.url}/#/{ANA}")
    for words, field, before in (("Online", "online", True), ("Tells when a message has arrived", "delivery_receipts", True)):
        switch = page.get_by_role("switch", name=words)
        with page.expect_response(lambda answer: answer.request.method == "PATCH"):
            switch.click()
        assert network.network.get(f"/api/phones/{ANA}")["settings"][field] is not before
        expect(switch).not_to_be_checked()
        with page.expect_response(lambda answer: answer.request.method == "PATCH"):
            switch.click()
        expect(switch).to_be_checked()


def test_a_code_that_means_nothing_is_told_plainly(page: Page, network: Stack) -> None:
    page.goto(f"{network.network.url}/?scan=https%3A%2F%2Fwa.me%2Fsettings%2Flinked_devices%23a%2Cb%2Cc%2Cd%2C1")
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Scan", exact=True).first.click()
    expect(dialog.get_by_role("alert")).to_contain_text("no code of this network")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    assert "scan=" not in page.url


def test_a_phone_is_added(page: Page) -> None:
    page.get_by_role("button", name="Add phone").click()
    page.get_by_label("Number, with country code").fill("+49 151 8765 4323")
    page.get_by_label("Name of its owner").fill("Cem")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page).to_have_url(re.compile(r"#/%2B4915187654323$"))
    expect(page.locator("#phones")).to_contain_text("Cem")


def test_a_fault_is_ordered_and_taken_back(page: Page, network: Stack) -> None:
    page.get_by_role("tab", name="Faults").click()
    page.get_by_role("button", name="Order", exact=True).click()
    expect(page.locator(".faults")).to_contain_text("ack_error 463 on message")
    assert len(network.network.get("/api/faults")["faults"]) == 1
    page.get_by_role("button", name="Remove", exact=True).click()
    expect(page.locator(".faults")).to_contain_text("the network behaves")
    assert network.network.get("/api/faults")["faults"] == []


def _unread(network: Stack) -> int:
    chats = network.network.get(f"/api/phones/{ANA}/chats")["chats"]
    return sum(chat["unread"] for chat in chats)
