"""The main job, as its users do it: a restaurant links its number in the admin, its ordering system enqueues, its customers read,
and the ordering system is told.

Everything is real but the WhatsApp network: the browser, web, PostgreSQL, Valkey, Celery workers, the bridge and Baileys.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.admin.chromium import Window, chromium
from tests.admin.steps import PASSWORD, link_title, make_boss, make_restaurant, sign_in
from tests.support.fixtures import MakeStack
from tests.support.http import Json
from tests.support.receiver import Receiver, receiving
from tests.support.stack import Stack, eventually

pytestmark = [pytest.mark.browser, pytest.mark.e2e, pytest.mark.long]
RESTAURANT = "+4915112345678"
CUSTOMERS = ("+4917604069001", "+4917604069002", "+4917604069003")
PACE_MIN, PACE_MAX, TYPING_MAX = timedelta(milliseconds=300), timedelta(milliseconds=700), timedelta(milliseconds=100)
# What a claim's tick, the bridge, the encryption and the network may add to a pause on a busy machine, in the median.
OVERHEAD = timedelta(milliseconds=250)


def ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)


@pytest.fixture
def stack(make_stack: MakeStack) -> Stack:
    made = make_stack(
        PACE_MIN_DELAY_MS=ms(PACE_MIN),
        PACE_MAX_DELAY_MS=ms(PACE_MAX),
        TYPING_MAX_MS=ms(TYPING_MAX),
        DJANGO_SUPERUSER_PASSWORD=PASSWORD,
        WEBHOOK_PRIVATE_ADDRESSES="true",
    )
    make_boss(made)
    made.network.post("/api/phones", {"number": RESTAURANT, "name": "Trattoria"})
    for number in CUSTOMERS:
        made.network.post("/api/phones", {"number": number, "settings": {"read_receipts": "auto", "read_delay_ms": 200}})
    return made


@pytest.fixture
def window() -> Iterator[Window]:
    with chromium() as browser:
        opened = Window.open(browser)
        yield opened
        assert opened.complaints == []


@pytest.fixture
def till() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def test_the_main_job(stack: Stack, window: Window, till: Receiver) -> None:
    page = window.page
    sign_in(page, stack)
    make_restaurant(page, stack, "Trattoria Luigi")
    api = stack.api.with_key(make_key(page, stack))
    secret = make_webhook(page, stack, till)
    session = make_session(page, stack)
    link(page, stack)

    orders = [enqueue(api, CUSTOMERS[n % 3], f"Order {n} is ready") for n in range(20)]
    wait_read(api, orders)
    shown = arrivals(stack)
    assert [message["text"] for message in shown] == [f"Order {n} is ready" for n in range(20)]
    assert {message["copies"] for message in shown} == {1}
    assert_paced(shown)
    for order in orders:
        assert_whole_way(api.get(f"/api/v1/messages/{order}"))
    assert_told(till, secret, orders)

    restart_everything(stack)
    eventually(lambda: state(api, session) == "connected", what="the session to be connected again", timeout=30)
    more = [enqueue(api, CUSTOMERS[n % 3], f"After the restart {n}") for n in range(5)]
    wait_read(api, more)
    assert_told(till, secret, [*orders, *more])
    assert [message["text"] for message in arrivals(stack)[20:]] == [f"After the restart {n}" for n in range(5)]
    assert {message["copies"] for message in arrivals(stack)} == {1}
    assert stack.network.get("/api/stats")["qr_shown"] == 0  # the network was started anew, too

    log_out_on_the_phone(stack)
    eventually(lambda: state(api, session) == "logged_out", what="the session to say that it is logged out")
    page.goto(f"{stack.api.url}/admin/sessions_app/session/{session}/link/")
    link_title(page, "Logged out on the phone")
    waiting = enqueue(api, CUSTOMERS[0], "Waits for a new link")
    assert_waits(stack, api, waiting)


# --- In the browser


def make_key(page: Page, stack: Stack) -> str:
    page.goto(f"{stack.api.url}/admin/sessions_app/apikey/add/")
    page.locator("#id_restaurant").select_option(label="Trattoria Luigi")
    page.locator("#id_name").fill("Ordering system")
    page.get_by_label("Read sessions").check()
    page.get_by_role("button", name="Save", exact=True).click()
    return page.locator("#secret").inner_text()


def make_webhook(page: Page, stack: Stack, till: Receiver) -> str:
    page.goto(f"{stack.api.url}/admin/sessions_app/webhook/add/")
    page.locator("#id_restaurant").select_option(label="Trattoria Luigi")
    page.locator("#id_url").fill(till.url)
    page.get_by_role("button", name="Save", exact=True).click()
    secret = page.locator("#secret").inner_text()
    page.get_by_role("link", name="Done").click()
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text("A test is on its way.")).to_be_visible()
    eventually(lambda: till.topics() == ["webhook.test"], what="the test")
    return secret


def make_session(page: Page, stack: Stack) -> str:
    page.goto(f"{stack.api.url}/admin/sessions_app/session/add/")
    page.locator("#id_restaurant").select_option(label="Trattoria Luigi")
    page.locator("#id_name").fill("Orders")
    page.get_by_role("button", name="Save", exact=True).click()
    return str(stack.sql("SELECT id FROM wa_session")[0]["id"])


def link(page: Page, stack: Stack) -> None:
    page.get_by_role("button", name="Show QR").click()
    with page.expect_popup() as popup:
        page.get_by_role("link", name="Scan with a virtual phone").click()
    phones = popup.value
    dialog = phones.get_by_role("dialog")
    dialog.get_by_role("listitem").filter(has_text="Trattoria").get_by_role("button", name="Scan").click()
    link_title(page, "Linked with +49 1511 2345678")
    phones.close()


# --- Through the API


def enqueue(api: Json, to: str, text: str) -> str:
    return str(api.post("/api/v1/messages", {"to": to, "text": text}, Idempotency_Key=text)["id"])


def state(api: Json, session: str) -> str:
    return str(api.get(f"/api/v1/sessions/{session}/status")["state"])


def wait_read(api: Json, messages: list[str]) -> None:
    def all_read() -> bool:
        return all(api.get(f"/api/v1/messages/{message}")["status"] == "read" for message in messages[::-1])

    eventually(all_read, what=f"{len(messages)} messages to be read", timeout=60, every=0.5)


def assert_whole_way(message: dict[str, Any]) -> None:
    timeline = [entry["status"] for entry in message["timeline"]]
    assert [timeline[0], timeline[1]] == ["queued", "sending"]
    assert {"sent", "read"} <= set(timeline)
    assert message["attempts"] == 1
    times = [datetime.fromisoformat(message[name]) for name in ("created_at", "sent_at", "delivered_at", "read_at")]
    assert times == sorted(times)


def assert_waits(stack: Stack, api: Json, message: str) -> None:
    """It is the owner that would send it: once the session has none, nobody does."""
    eventually(lambda: stack.sql("SELECT owner_id FROM wa_session")[0]["owner_id"] is None, what="the session to be released")
    assert api.get(f"/api/v1/messages/{message}")["status"] == "queued"


def assert_told(till: Receiver, secret: str, orders: list[str]) -> None:
    def of(order: str) -> list[str]:
        once = {call.id: call.told["data"] for call in till.calls}
        return sorted(data["status"] for data in once.values() if data.get("message_id") == order)

    whole = ["delivered", "read", "sent"]  # in no order that was promised
    eventually(lambda: all(of(order) == whole for order in orders), what="the till to be told", timeout=30)
    assert all(call.is_signed_with(secret) for call in till.calls)


# --- On the network


def arrivals(stack: Stack) -> list[dict[str, Any]]:
    shown = [message for phone in CUSTOMERS for message in stack.network.get(f"/api/phones/{phone}/shown")["messages"]]
    return sorted(shown, key=lambda message: message["at"])


def assert_paced(shown: list[dict[str, Any]]) -> None:
    """Never faster than the shortest pause, which counts from the server's ack; in the median not slower than the longest."""
    times = [datetime.fromisoformat(message["at"]) for message in shown]
    gaps = sorted(after - before for before, after in pairwise(times))
    assert gaps[0] >= PACE_MIN
    assert gaps[len(gaps) // 2] <= PACE_MAX + TYPING_MAX + OVERHEAD
    assert gaps[-1] - gaps[0] > (PACE_MAX - PACE_MIN) / 4  # random, not a beat


def log_out_on_the_phone(stack: Stack) -> None:
    device = stack.network.get(f"/api/phones/{RESTAURANT}")["devices"][0]["device"]
    stack.network.delete(f"/api/phones/{RESTAURANT}/devices/{device}")


def restart_everything(stack: Stack) -> None:
    stack.stop_all()
    stack.stop("valkey")
    stack.start("valkey")
    stack.start_all()
