"""The simulated network's control API, as far as the demonstration needs it (node_bridge/simulator/README.md)."""

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote

TIMEOUT_S = 10


class Refused(Exception):
    """The network answered with an error; `code` is its stable code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class VirtualPhones:
    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def make(self, number: str, name: str) -> None:
        """A phone of that number; nothing happens if there is one. Raises Refused, OSError."""
        self._post("/api/phones", {"number": number, "name": name})

    def scan(self, number: str, qr: str) -> None:
        """The phone scans the code. Raises Refused (`qr_unknown`, `qr_expired`, `link_failed`: the device was gone), OSError."""
        self._post(f"/api/phones/{quote(number)}/scan", {"qr": qr})

    def _post(self, path: str, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"}, method="POST")
        try:
            urllib.request.urlopen(request, timeout=TIMEOUT_S).close()
        except urllib.error.HTTPError as error:
            raise _refused(error) from error


def _refused(error: urllib.error.HTTPError) -> Refused:
    try:
        told = json.loads(error.read())["error"]
        return Refused(str(told["code"]), str(told["message"]))
    except (ValueError, KeyError, TypeError):
        return Refused("unknown", f"HTTP {error.code}")
