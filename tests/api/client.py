"""A client that holds every answer against the OpenAPI description: a status or a field nobody declared fails the test."""

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from django.http import HttpResponse
from django.test import Client
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from sessions_app.api import api

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse
else:
    _MonkeyPatchedWSGIResponse = HttpResponse
Answer: TypeAlias = _MonkeyPatchedWSGIResponse

JSON = "application/json"
PROBLEM = "application/problem+json"


class ApiClient:
    def __init__(self, key: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = Client(headers=headers, raise_request_exception=False)

    def get(self, path: str, *, query: dict[str, Any] | None = None, **headers: str) -> Answer:
        return self.send("GET", path, query=query, headers=headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", path, raw=raw, headers=headers)

    def patch(self, path: str, body: Any) -> Answer:
        return self.send("PATCH", path, raw=json.dumps(body).encode())

    def delete(self, path: str) -> Answer:
        return self.send("DELETE", path)

    def send(
        self,
        method: str,
        path: str,
        *,
        raw: bytes = b"",
        content_type: str = JSON,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        named = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        answer = self._client.generic(method, f"/api/v1{path}", raw, content_type=content_type, query_params=query, headers=named)
        check(method, f"/api/v1{path}", answer)
        return answer


def problem(answer: Answer, status: int, code: str) -> dict[str, Any]:
    """The problem of an answer that has to be this one."""
    found: dict[str, Any] = json.loads(answer.content)
    assert (answer.status_code, found.get("code")) == (status, code), answer.content
    assert answer.headers["Content-Type"] == PROBLEM
    assert found["status"] == status and found["type"].endswith(f":{code}")
    return found


def blamed(answer: Answer) -> dict[str, str]:
    """Pointer and code of each field an answer blames."""
    return {error["pointer"]: error["code"] for error in json.loads(answer.content)["errors"]}


def check(method: str, path: str, answer: Answer) -> None:
    operation = _operation(method.lower(), path)
    if operation is None:
        assert answer.headers["Content-Type"] == PROBLEM
        return
    responses = operation["responses"]
    declared = responses.get(str(answer.status_code)) or responses["default"]
    if not answer.content and "content" not in declared:
        return
    media = answer.headers["Content-Type"].partition(";")[0]
    assert media in declared["content"], f"{media} is not declared for {answer.status_code}"
    if media in (JSON, PROBLEM):
        schema = {**declared["content"][media]["schema"], "components": description()["components"]}
        Draft202012Validator(schema).validate(json.loads(answer.content))


@cache
def description() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(api.get_openapi_schema()))
    return found


def _operation(method: str, path: str) -> dict[str, Any] | None:
    for template, operations in description()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", r"[0-9A-Fa-f-]{36}", template), path) and method in operations:
            found: dict[str, Any] = operations[method]
            return found
    return None
