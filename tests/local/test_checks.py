"""Dangerous settings: warnings while developing, errors in production, and no program starts there over them."""

import base64
import os
import subprocess
import sys

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from pytest_django.fixtures import Settings

from restaurant_wa.local.places import BASE_DIR
from sessions_app import checks

GOOD = "k7Wq9-xN2vB5_mZ8cR4tY6uP1oL3jH0g"
RING = "k1:" + base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(autouse=True)
def good(settings: Settings) -> None:
    settings.ENVIRONMENT = "production"
    settings.WHATSAPP_SECRET = settings.SECRET_KEY = GOOD
    settings.WA_ENCRYPTION_KEYS = RING
    settings.DEBUG = False


def ids() -> list[str | None]:
    return [message.id for message in checks.secrets_are_set(None) if message.is_serious()]


def test_it_accepts_good_secrets() -> None:
    assert checks.secrets_are_set(None) == []


@pytest.mark.parametrize("name, code", [("WHATSAPP_SECRET", "W001"), ("SECRET_KEY", "W002")])
@pytest.mark.parametrize("bad", ["short", "insecure-development-secret", "change-me", "a" * 40])
def test_it_refuses_short_and_default_secrets(settings: Settings, name: str, code: str, bad: str) -> None:
    setattr(settings, name, bad)
    assert ids() == [f"restaurant_wa.{code}"]
    settings.ENVIRONMENT = "development"
    assert ids() == []
    assert len(checks.secrets_are_set(None)) == 1


def test_it_refuses_an_unset_secret(settings: Settings) -> None:
    settings.WHATSAPP_SECRET = ""
    assert ids() == ["restaurant_wa.W001"]


def test_it_accepts_the_numbers_of_a_new_installation() -> None:
    assert checks.numbers_make_sense(None) == []


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("PACE_MIN_DELAY_MS", 12_000, "PACE_MIN_DELAY_MS is 12000 and PACE_MAX_DELAY_MS only 10000."),
        ("COLD_MAX_DELAY_MS", 10_000, "COLD_MIN_DELAY_MS is 20000 and COLD_MAX_DELAY_MS only 10000."),
        ("PACE_MIN_DELAY_MS", -1, "PACE_MIN_DELAY_MS is -1: at least 0."),
        ("STRANGERS_DAILY_LIMIT", -1, "STRANGERS_DAILY_LIMIT is -1: at least 0."),
        ("WORKER_CAPACITY", 0, "WORKER_CAPACITY is 0: at least 1."),
        ("WORKER_HEARTBEAT_S", 5.0, "before WORKER_HEARTBEAT_S renews it"),
    ],
)
def test_it_refuses_numbers_with_which_nothing_would_be_sent(settings: Settings, name: str, value: float, told: str) -> None:
    setattr(settings, name, value)
    [found] = checks.numbers_make_sense(None)
    assert found.is_serious() and told in found.msg
    with pytest.raises(SystemExit, match=name):
        checks.refuse_dangerous_production()


@pytest.mark.parametrize(
    "ring",
    ["k1:", "k1", "k1:c2hvcnQ=", f"{RING},{RING}", f"{RING},k2:?", ":" + RING[3:], "a key" + RING[2:], "k" * 65 + RING[2:]],
)
def test_it_refuses_a_malformed_key_ring_without_telling_the_key(settings: Settings, ring: str) -> None:
    settings.WA_ENCRYPTION_KEYS = ring
    assert ids() == ["restaurant_wa.W003"]
    assert RING[3:] not in str(checks.secrets_are_set(None))


def test_only_a_session_worker_needs_the_key_ring(settings: Settings) -> None:
    settings.WA_ENCRYPTION_KEYS = ""
    assert ids() == []
    assert [message.id for message in checks.key_ring_is_set()] == ["restaurant_wa.W003"]
    with pytest.raises(SystemExit, match="WA_ENCRYPTION_KEYS is not set"):
        checks.refuse_without_key_ring()


@pytest.mark.parametrize(
    "url, found", [("rediss://x", ["restaurant_wa.W005"]), ("rediss://x/0?ssl_cert_reqs=required", []), ("redis://x", [])]
)
def test_it_refuses_a_redis_that_anybody_may_be(settings: Settings, url: str, found: list[str]) -> None:
    settings.REDIS_URL = url
    assert ids() == found


def test_it_refuses_a_token_for_metrics_that_can_be_guessed_and_takes_none(settings: Settings) -> None:
    for token, found in (("", []), (GOOD, []), ("prometheus", ["restaurant_wa.W006"])):
        settings.METRICS_TOKEN = token
        assert ids() == found


def test_it_refuses_debug(settings: Settings) -> None:
    settings.DEBUG = True
    assert ids() == ["restaurant_wa.W004"]


def test_no_session_worker_starts_in_production_without_the_key_ring() -> None:
    env = os.environ | {"ENVIRONMENT": "production", "WHATSAPP_SECRET": GOOD, "SECRET_KEY": GOOD, "WA_ENCRYPTION_KEYS": ""}
    worker = ["-m", "celery", "-A", "workers", "worker", "--sessions", "-P", "threads", "-c", "1"]
    assert "WA_ENCRYPTION_KEYS is not set" in refused(worker, env)


@pytest.mark.parametrize("days", [0, 30, 31, 3_650, 36_500])
def test_it_accepts_a_month_and_more_or_for_ever(settings: Settings, days: int) -> None:
    settings.MESSAGES_KEPT_DAYS = days
    assert checks.messages_are_kept_for_long_enough(None) == []


@pytest.mark.parametrize("days", [-1, 1, 29, 36_501])
@pytest.mark.parametrize("environment", ["development", "production"])
def test_it_refuses_less_than_a_month(settings: Settings, days: int, environment: str) -> None:
    settings.MESSAGES_KEPT_DAYS, settings.ENVIRONMENT = days, environment
    with pytest.raises(SystemCheckError, match=f"(?s)MESSAGES_KEPT_DAYS is {days}:.*30 or more, or to 0"):
        call_command("check")


def test_no_default_worker_starts_that_would_forget_too_early() -> None:
    env = os.environ | {"ENVIRONMENT": "development", "MESSAGES_KEPT_DAYS": "7"}
    program = [sys.executable, "-m", "celery", "-A", "workers", "worker", "-P", "threads", "-c", "1"]
    done = subprocess.run(program, cwd=BASE_DIR, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "MESSAGES_KEPT_DAYS is 7" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "program",
    [
        ["-c", "import restaurant_wa.wsgi"],
        ["-m", "celery", "-A", "workers", "worker", "--sessions", "-P", "threads", "-c", "1"],
        ["-m", "celery", "-A", "workers", "beat", "--pidfile="],
    ],
    ids=["web", "worker", "beat"],
)
def test_no_program_starts_in_production_with_a_default_secret(program: list[str]) -> None:
    env = os.environ | {"ENVIRONMENT": "production", "WHATSAPP_SECRET": "change-me"}
    assert "WHATSAPP_SECRET is a default" in refused(program, env)


def refused(program: list[str], env: dict[str, str]) -> str:
    """What it says last."""
    done = subprocess.run(
        [sys.executable, *program], cwd=BASE_DIR, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    return done.stderr.splitlines()[-1]
