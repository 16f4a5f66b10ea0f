"""What only shows where Granian serves it: requests that Django's own test client would make otherwise."""

import re
import socket
from http.client import HTTPConnection, HTTPMessage

import pytest

from tests.support.fixtures import MakeStack
from tests.support.http import TIMEOUT_S
from tests.support.stack import Stack

pytestmark = pytest.mark.e2e
MAKE_KEY = """
from sessions_app.models import Restaurant
from sessions_app.services import api_keys
print("key:" + api_keys.issue(restaurant=Restaurant.objects.create(name="R", default_region="DE"), name="till")[1])
"""
UNREADABLE = ["application/json; charset*=foo'en'x", "application/json; a*=1; a*0=2"]
UNREADABLE_PARTS = ["form-data; a*=1; a*0=2; name=x", "form-data; a*0=1; a*1*=; a*=3; name=x"]
NO_CHARSETS = [f"x/y; charset={name}" for name in ("hex", "base64", "rot13", "undefined")]


@pytest.fixture(scope="module")
def web(make_module_stack: MakeStack) -> Stack:
    stack = make_module_stack(start=False)
    stack.start("web")
    return stack


@pytest.fixture(scope="module")
def key(web: Stack) -> str:
    return web.manage("shell", "-c", MAKE_KEY).partition("key:")[2].strip()


def ask(web: Stack, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, HTTPMessage, bytes]:
    connection = HTTPConnection("127.0.0.1", web.site.port, timeout=TIMEOUT_S)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("content_type", UNREADABLE + NO_CHARSETS)
def test_a_content_type_that_says_nonsense_is_a_415(web: Stack, key: str, content_type: str) -> None:
    status, _, told = ask(web, "POST", "/api/v1/messages", b"{}", Content_Type=content_type, X_API_Key=key)
    assert status == 415 and b"unsupported_media_type" in told


@pytest.mark.parametrize("path", ["/livez", "/api/v1/health", "/admin/login/"])
@pytest.mark.parametrize("content_type", UNREADABLE + NO_CHARSETS)
def test_where_nothing_is_sent_no_content_type_matters(web: Stack, path: str, content_type: str) -> None:
    assert ask(web, "GET", f"{path}?a=b", Content_Type=content_type)[0] == 200


@pytest.mark.parametrize("disposition", UNREADABLE_PARTS)
def test_a_form_whose_parts_say_nonsense_is_a_400(web: Stack, disposition: str) -> None:
    body = f"--x\r\nContent-Disposition: {disposition}\r\n\r\n1\r\n--x--\r\n".encode()
    kind, cookie = "multipart/form-data; boundary=x", "csrftoken=" + "a" * 32  # with a token to compare the form is read
    assert ask(web, "POST", "/admin/login/", body, Content_Type=kind, Cookie=cookie)[0] == 400


@pytest.mark.parametrize("path", ["/api/v1/health", "/api/v1/messages", "/api/v1/openapi.json", "/livez"])
def test_head_is_answered_as_get_without_the_body(web: Stack, key: str, path: str) -> None:
    with socket.create_connection(("127.0.0.1", web.site.port), timeout=TIMEOUT_S) as connection:
        connection.sendall(f"HEAD {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\n")
    assert re.search(rb"content-length: [1-9]", answer, re.IGNORECASE)


def test_it_speaks_no_http_2(web: Stack) -> None:
    """A body has neither a length nor a header there that tells of it: it would pass for an empty one."""
    preface, settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\4\0\0\0\0\0"
    with socket.create_connection(("127.0.0.1", web.site.port), timeout=TIMEOUT_S) as connection:
        connection.sendall(preface + settings)
        answer = connection.recv(len(settings))
    assert not answer or answer.startswith(b"HTTP/1.1")
