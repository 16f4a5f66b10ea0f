"""What a person does in the admin of a stack whose superuser is `boss`, and what the pages show them then."""

from playwright.sync_api import Page, expect

from tests.support.stack import Stack

PASSWORD = "secret-enough"


def make_boss(stack: Stack) -> None:
    """Of a stack that was made with PASSWORD as its DJANGO_SUPERUSER_PASSWORD."""
    stack.manage("createsuperuser", "--noinput", "--username", "boss", "--email", "")


def sign_in(page: Page, stack: Stack) -> None:
    page.goto(f"{stack.api.url}/admin/")
    page.get_by_label("Username").fill("boss")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def make_restaurant(page: Page, stack: Stack, name: str) -> None:
    page.goto(f"{stack.api.url}/admin/sessions_app/restaurant/add/")
    page.locator("#id_name").fill(name)
    page.locator("#select2-id_default_region-container").click()
    page.get_by_role("searchbox").fill("DE (")
    page.get_by_role("option", name="DE (+49)").click()
    page.get_by_role("button", name="Save", exact=True).click()


def link_title(page: Page, text: str) -> None:
    """Of the link page."""
    expect(page.locator("#link h2")).to_have_text(text, timeout=30_000)
