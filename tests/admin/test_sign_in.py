"""Signing in to the admin."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings
from structlog.testing import capture_logs

from sessions_app.admin import sign_in
from sessions_app.services import counters

PATH = "/admin/login/"


@pytest.fixture(autouse=True)
def nobody_failed_before() -> Iterator[None]:
    yield
    for name in counters._client.scan_iter("admin:failed:*"):
        counters._client.delete(name)


@pytest.fixture
def lucia(db: None) -> User:
    return User.objects.create_user("lucia", password="a long password", is_staff=True)


def enter(password: str, *, client: Client | None = None, **headers: str) -> bool:
    """Whether it opened."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = (client or Client()).post(PATH, {"username": "lucia", "password": password}, headers=named)
    return answer.status_code == 302


def test_guessing_ends_after_ten_failures_of_one_name_from_one_address(lucia: User) -> None:
    assert not any(enter(f"guess {number}") for number in range(sign_in.MOST_FAILURES))
    assert not enter("a long password")
    assert enter("a long password", client=Client(REMOTE_ADDR="192.0.2.7"))


def test_another_connection_of_the_proxy_is_no_other_address(lucia: User, settings: Settings) -> None:
    settings.BEHIND_TLS_PROXY = True
    for port in range(sign_in.MOST_FAILURES):
        assert not enter("guess", X_Forwarded_For=f"192.0.2.1:{50_000 + port}")
    assert not enter("a long password", X_Forwarded_For="192.0.2.1:60000")
    assert enter("a long password", X_Forwarded_For="192.0.2.2:60000")


def test_a_few_failures_are_forgiven(lucia: User) -> None:
    assert not enter("guess") and enter("a long password")


def test_a_failure_is_told_with_its_address_and_without_what_was_typed(lucia: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "log", structlog.get_logger("test"))  # one that was used before keeps its processors
    with capture_logs() as logs:
        enter("guess", client=Client(REMOTE_ADDR="192.0.2.7"))
    [told] = [entry for entry in logs if entry["event"] == "admin.sign_in_failed"]
    assert (told["address"], told["failures"]) == ("192.0.2.7", 1)
    assert not {"guess", "lucia"} & {str(value) for value in told.values()}


@pytest.mark.parametrize("name", ["sessionid", "csrftoken", "messages"])
@pytest.mark.parametrize("says", [r"\000" * 8, r"\000" * 32, r"a\351" * 16, "a" * 32, "A" * 32, "a" * 500])
def test_a_cookie_that_says_nonsense_is_as_good_as_none(lucia: User, name: str, says: str) -> None:
    cookie = f'{name}="{says}"'
    headers = {"Cookie": cookie}
    assert Client().get("/admin/", headers=headers)["Location"] == f"{PATH}?next=/admin/"
    assert Client().get(PATH, headers=headers).status_code == 200
    assert enter("a long password", Cookie=cookie)
    assert Client(enforce_csrf_checks=True).post(PATH, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("behind", "forwarded", "address"),
    [
        (False, "192.0.2.1", "127.0.0.1"),
        (True, "192.0.2.1", "192.0.2.1"),
        (True, "203.0.113.9, 2001:db8::1", "2001:db8::1"),
        (True, "203.0.113.9:5678, 192.0.2.1:1234", "192.0.2.1"),
        (True, "[2001:db8::1]:443", "2001:db8::1"),
        (True, "[2001:DB8:0::1]", "2001:db8::1"),
        (True, "fe80::1%eth0", "fe80::1"),
        (True, "192.0.2.1:", "127.0.0.1"),
        (True, "192.0.2.256", "127.0.0.1"),
        (True, "a.b.c", "127.0.0.1"),
        (True, "", "127.0.0.1"),
        (True, "unknown", "127.0.0.1"),
    ],
)
def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_has_added(
    lucia: User, settings: Settings, monkeypatch: pytest.MonkeyPatch, behind: bool, forwarded: str, address: str
) -> None:
    settings.BEHIND_TLS_PROXY = behind
    monkeypatch.setattr(sign_in, "log", structlog.get_logger("test"))
    with capture_logs() as logs:
        enter("guess", X_Forwarded_For=forwarded)
    assert _addresses(logs) == [address]


def _addresses(logs: Any) -> list[str]:
    return [entry["address"] for entry in logs if entry["event"] == "admin.sign_in_failed"]
