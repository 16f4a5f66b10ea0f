"""What is refused before any route sees it, and what no route expects."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.test import Client
from pytest_django import Settings

from sessions_app.models import Message, Session
from tests.api.client import ApiClient, blamed, problem
from tests.support.owning import queued


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"not json",
        b'{"to": NaN}',
        b'{"to": Infinity}',
        b"\xff\xfe{\x00}\x00",
        b'"\xc3\x28"',
        b"[" * 100_000,
        b'{"to": ' + b"1" * 5_000 + b"}",
    ],
)
def test_malformed_json_is_a_400(client: ApiClient, session: Session, raw: bytes) -> None:
    problem(client.post("/messages", raw), 400, "malformed_json")


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"text"', b"7", b"true", b""])
def test_a_body_that_is_no_object_is_a_422(client: ApiClient, session: Session, raw: bytes) -> None:
    answer = client.post("/messages", raw)
    assert answer.status_code == 422 and list(blamed(answer)) == [""]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_another_content_type_is_a_415(client: ApiClient, session: Session, content_type: str) -> None:
    answer = client.send("POST", "/messages", raw=b'{"to": "+4915112345678", "text": "hi"}', content_type=content_type)
    problem(answer, 415, "unsupported_media_type")
    assert not Message.objects.exists()


def test_a_charset_is_fine(client: ApiClient, session: Session) -> None:
    raw = b'{"to": "+4915112345678", "text": "hi"}'
    assert client.send("POST", "/messages", raw=raw, content_type="Application/JSON; charset=utf-8").status_code == 202


def test_a_body_that_is_too_large_is_refused_by_its_length_alone(client: ApiClient, session: Session) -> None:
    """Without a key, too: nothing of it is read."""
    raw = b'"' + b"x" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE + b'"'
    for asking in (client, ApiClient()):
        problem(asking.post("/messages", raw), 413, "body_too_large")


@pytest.mark.parametrize(("path", "status"), [("/admin/login/", 413), ("/livez", 405)])
def test_a_form_that_is_too_large_is_not_read_either(db: None, path: str, status: int) -> None:
    """Looking for its CSRF token would write the files in it to disk, whatever their size."""
    file = SimpleUploadedFile("large", b"x" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    answer = Client(enforce_csrf_checks=True).post(path, {"file": file})
    assert answer.status_code == status


def test_a_body_without_a_length_is_refused() -> None:
    answer = Client().generic("POST", "/api/v1/messages", b"", headers={"Transfer-Encoding": "chunked"})
    problem(answer, 411, "length_required")


@pytest.mark.parametrize("path", ["/nope", "/messages/", "/messages/not-a-uuid", "/sessions/7/qr", "/%00", "/messages/%ff"])
def test_an_unknown_address_is_a_404(client: ApiClient, path: str) -> None:
    problem(client.get(path), 404, "not_found")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_there_is_nothing_at_the_root(method: str) -> None:
    problem(Client(enforce_csrf_checks=True).generic(method, "/api/v1/", b"{}", "application/json"), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/messages"), ("PATCH", "/sessions"), ("DELETE", "/inbound"), ("TRACE", "/health")]
)
def test_a_wrong_method_is_a_405_that_names_the_right_ones(client: ApiClient, method: str, path: str) -> None:
    answer = client.send(method, path)
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"]


def test_head_needs_a_key_where_get_does(client: ApiClient) -> None:
    assert [who._client.head("/api/v1/sessions").status_code for who in (client, ApiClient())] == [200, 401]
    assert client._client.head("/api/v1/sessions/nope").status_code == 404
    assert "HEAD" in client.send("DELETE", "/inbound").headers["Allow"]


def test_a_foreign_host_is_a_400() -> None:
    problem(Client(raise_request_exception=False).get("/api/v1/messages", headers={"Host": "evil.example"}), 400, "bad_request")


def test_too_many_query_parameters_are_a_400(client: ApiClient) -> None:
    problem(client.get("/messages", query={f"p{number}": "x" for number in range(1_500)}), 400, "bad_request")


def test_what_nobody_expected_is_a_500_without_internals(client: ApiClient, session: Session, settings: Settings) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE message RENAME COLUMN body TO mislaid")
    for debug in (False, True):
        settings.DEBUG = debug
        answer = client.post("/messages", {"to": "+4915112345678", "text": "hi"})
        problem(answer, 500, "internal")
        assert b"column" not in answer.content and b"body" not in answer.content


@pytest.mark.django_db(transaction=True)
def test_a_database_that_does_not_answer_in_time_is_a_503_with_retry_after(client: ApiClient, session: Session) -> None:
    elsewhere = connection.copy()
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '50ms'")
    try:
        with transaction_of(elsewhere) as cursor:
            cursor.execute("SELECT FROM wa_session WHERE id = %s FOR UPDATE", [session.pk])
            answer = client.post("/messages", {"to": "+4915112345678", "text": "hi"})
    finally:
        elsewhere.close()
        connection.close()  # the setting goes with it
    problem(answer, 503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0 and b"lock" not in answer.content
    assert not Message.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_what_was_accepted_is_accepted_though_nothing_can_be_said_of_when(client: ApiClient, session: Session) -> None:
    """Whoever got an error would send it again."""

    def cut(execute: Any, query: str, *given: Any) -> Any:
        if "send_tally" in query and Message.objects.exists():
            raise OperationalError("server closed the connection unexpectedly")
        return execute(query, *given)

    with connection.execute_wrapper(cut):
        answer = client.post("/messages", {"to": "+4915112345678", "text": "hi"})
    assert answer.status_code == 202
    assert (answer.json()["status"], answer.json()["estimated_send_at"]) == ("queued", None)


@pytest.mark.django_db(transaction=True)
def test_what_was_decided_is_decided_though_nobody_can_be_woken(client: ApiClient, session: Session) -> None:
    """Whoever got an error would ask again, and be told that it is too late."""
    message, cuts = queued(session, status="uncertain", attempts=1), []

    def cut(execute: Any, query: str, *given: Any) -> Any:
        if '"worker"."queue"' in query:
            cuts.append(query)
            raise OperationalError("server closed the connection unexpectedly")
        return execute(query, *given)

    with connection.execute_wrapper(cut):
        answer = client.post(f"/messages/{message.pk}/send-again")
    assert cuts and (answer.status_code, answer.json()["status"]) == (200, "queued")


@contextmanager
def transaction_of(elsewhere: BaseDatabaseWrapper) -> Iterator[CursorWrapper]:
    with elsewhere.cursor() as cursor:
        cursor.execute("BEGIN")
        yield cursor
        cursor.execute("ROLLBACK")


def test_no_answer_may_be_cached(client: ApiClient, session: Session) -> None:
    for path in ("/messages", "/sessions", "/nope", "/openapi.json"):
        assert client._client.get(f"/api/v1{path}").headers["Cache-Control"] == "no-store", path


def test_the_admins_errors_are_left_alone(db: None) -> None:
    answer = Client().get("/nope/")
    assert answer.status_code == 404 and "json" not in answer.headers["Content-Type"]


def test_problems_are_json_whatever_they_quote(client: ApiClient, session: Session) -> None:
    answer = client.post("/messages", b'{"to": "+4915112345678", "text": "hi", "\\ud800": 1}')
    assert answer.status_code == 422
    json.loads(answer.content)
