"""A small JSON client for the web side's and the simulated network's addresses."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

TIMEOUT_S = 15


class HttpError(Exception):
    """An answer of 400 or above; `body` is its JSON, or its text; the names of its headers are in small letters."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
        super().__init__(f"{status}: {body}")
        self.status = status
        self.body = body
        self.headers = headers


class Json:
    def __init__(self, url: str, *, headers: dict[str, str] | None = None) -> None:
        self.url = url.rstrip("/")
        self._headers = headers or {}

    def with_key(self, key: str) -> "Json":
        return Json(self.url, headers={**self._headers, "Authorization": f"Bearer {key}"})

    def get(self, path: str) -> Any:
        return self.request("GET", path)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.request("POST", path, body, **headers)

    def patch(self, path: str, body: Any) -> Any:
        return self.request("PATCH", path, body)

    def delete(self, path: str) -> Any:
        return self.request("DELETE", path)

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """The JSON of a successful answer. Raises HttpError; OSError when nobody answers."""
        data = None if body is None else json.dumps(body).encode()
        sent = {**self._headers, **({"Content-Type": "application/json"} if data is not None else {})}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.url + path, data, sent, method=method), timeout=TIMEOUT_S
            ) as answer:
                return _parsed(answer.read())
        except urllib.error.HTTPError as error:
            raise HttpError(
                error.code, _parsed(error.read()), {name.lower(): value for name, value in error.headers.items()}
            ) from error


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode(errors="replace")
