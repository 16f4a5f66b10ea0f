"""Log lines and error reports: JSON, with ids, without secrets, message texts and whole phone numbers."""

import json
import logging
import logging.config
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test import Client, RequestFactory
from hypothesis import given
from hypothesis import strategies as st

import restaurant_wa
from restaurant_wa import reporting
from restaurant_wa.logging import formatter
from restaurant_wa.middleware import QUIET_PATHS, RequestIdMiddleware
from restaurant_wa.scrubbing import scrub, scrub_text

KEY = "rwa_abcdefgh_" + "A1_-" * 10 + "xyz"


def line(logger: str, message: str, *arguments: object, **fields: Any) -> dict[str, Any]:
    """What one entry becomes by the formatter in force."""
    record = logging.LogRecord(logger, logging.INFO, "file.py", 1, message, arguments, None)
    if fields:
        record.msg, record.args = {"event": message, **fields}, ()
        record._logger, record._name = logging.getLogger(logger), "info"
    parsed: dict[str, Any] = json.loads(formatter().format(record))
    return parsed


def test_every_library_writes_json_with_level_and_time() -> None:
    entry = line("celery.worker", "task %s is late by %d s", "x", 3)
    assert entry["event"] == "task x is late by 3 s"
    assert (entry["level"], entry["logger"]) == ("info", "celery.worker")
    assert entry["timestamp"].endswith("Z")


def test_ids_stay_whole() -> None:
    session = uuid.UUID("01934567-1234-7234-8234-123456789012")
    entry = line("sessions_app", "sent", session=session, restaurant=str(session))
    assert entry["session"] == entry["restaurant"] == str(session)
    assert scrub_text(f"message {session} of 2026-11-23T12:34:56.123456Z") == f"message {session} of 2026-11-23T12:34:56.123456Z"


@pytest.mark.parametrize(
    "written", ["+4915112345678", "4915112345678", "4915112345678@s.whatsapp.net", "to 4915112345678:3@x", "(+4915112345678)"]
)
def test_phone_numbers_are_masked_wherever_they_stand(written: str) -> None:
    assert "15112345678" not in scrub_text(written)
    assert "*****78" in scrub_text(written)


@given(st.integers(min_value=10**8, max_value=10**15 - 1), st.sampled_from(["", "a ", "to: "]), st.sampled_from(["", " b", ","]))
def test_no_phone_number_survives(number: int, before: str, after: str) -> None:
    assert str(number) not in scrub_text(f"{before}+{number}{after}")


def test_secrets_are_hidden_by_name_and_by_shape() -> None:
    entry = line("x", "hello", api_key=KEY, headers={"Authorization": f"Bearer {KEY}"}, text="Your order", note=f"key {KEY}")
    assert KEY not in json.dumps(entry)
    assert "Your order" not in json.dumps(entry)
    assert "rwa_abcdefgh_" in entry["note"]  # the prefix identifies the key without opening anything
    assert "geheim" not in scrub_text("connecting to postgresql://user:geheim@127.0.0.1:5432/x")


def test_a_report_carries_no_body_cookies_or_query() -> None:
    event: Any = {
        "request": {"url": "http://x/", "data": "Your order", "cookies": "a", "query_string": "q", "headers": {"X-Api-Key": KEY}},
        "extra": {"to": "+4915112345678"},
    }
    sent = json.dumps(reporting.before_send(event, {}))
    assert all(secret not in sent for secret in ("Your order", KEY, "15112345678", "cookies"))


def test_deep_data_cannot_smuggle_anything_out() -> None:
    nested: Any = KEY
    for _ in range(30):
        nested = [nested]
    assert KEY not in str(scrub(nested))


def test_the_configuration_names_the_json_handler_alone() -> None:
    assert settings.LOGGING["root"]["handlers"] == ["stderr"]
    assert set(settings.LOGGING["handlers"]) == {"stderr"}


def test_the_web_server_uses_the_same_formatter() -> None:
    configuration = json.loads((Path(restaurant_wa.__file__).parent / "granian_logging.json").read_text())
    logging.config.dictConfig(configuration)
    handler = logging.getLogger("_granian").handlers[0]
    record = logging.LogRecord("_granian", logging.INFO, "file.py", 1, "Started worker-1", (), None)
    assert json.loads(handler.format(record))["event"] == "Started worker-1"


def test_a_request_has_an_id_in_answer_and_log(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    answer = client.get("/livez", headers={"X-Request-ID": "order-77"})
    assert answer.headers["X-Request-ID"] == "order-77"
    with caplog.at_level(logging.INFO):
        hostile = client.get("/no-such-page", headers={"X-Request-ID": "a\nb" * 50})
    assert len(hostile.headers["X-Request-ID"]) == 32
    entry = next(record.msg for record in caplog.records if record.name == "restaurant_wa.access")
    assert isinstance(entry, dict)
    assert (entry["status"], entry["request_id"]) == (404, hostile.headers["X-Request-ID"])


def accesses(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int]]:
    lines = [record.msg for record in caplog.records if record.name == "restaurant_wa.access"]
    return [(line["path"], line["status"]) for line in lines if isinstance(line, dict)]


def test_a_bridges_report_that_is_taken_writes_no_line_and_one_that_is_refused_does(
    client: Client, caplog: pytest.LogCaptureFixture, db: None
) -> None:
    path, secret = "/internal/bridge/events", f"Bearer {settings.WHATSAPP_SECRET}"
    with caplog.at_level(logging.INFO):
        taken = client.post(path, {"bridge": "b", "events": []}, "application/json", headers={"Authorization": secret})
        assert taken.status_code == 200 and accesses(caplog) == []
        client.post(path, {"bridge": "b", "events": []}, "application/json")
        client.get(path)
    assert accesses(caplog) == [(path, 401), (path, 405)]


@pytest.mark.parametrize("path", sorted(QUIET_PATHS))
@pytest.mark.parametrize("status", [301, 400, 503])
def test_what_does_not_go_well_at_a_quiet_address_is_told(path: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """A redirect is followed by no bridge and few monitors."""
    with caplog.at_level(logging.INFO):
        RequestIdMiddleware(lambda _: HttpResponse(status=status))(RequestFactory().get(path))
    assert accesses(caplog) == [(path, status)]
