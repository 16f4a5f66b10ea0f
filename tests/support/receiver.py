"""The other side of a webhook: a small HTTP server that keeps what it was told, and answers as it is told to."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

Answer: TypeAlias = int | tuple[int, dict[str, str]] | tuple[int, dict[str, str], bytes]


@dataclass(frozen=True)
class Call:
    path: str
    headers: dict[str, str]  # names in small letters
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def told(self) -> Any:
        return json.loads(self.body)

    def is_signed_with(self, secret: str) -> bool:
        """As a receiver verifies: over the bytes as they came, and not too old."""
        content = f"{self.id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        digest = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), content, hashlib.sha256).digest()
        fresh = abs(time.time() - int(self.headers["webhook-timestamp"])) < 300
        return fresh and f"v1,{base64.b64encode(digest).decode()}" in self.headers["webhook-signature"].split()


@dataclass
class Receiver:
    """`answer` may look at the call, and may wait; it gives a status, or a status with headers, and with a body."""

    url: str
    answer: Callable[[Call], Answer] = lambda _: 204
    calls: list[Call] = field(default_factory=list)

    def topics(self) -> list[str]:
        return [call.told["type"] for call in self.calls]


@contextmanager
def receiving() -> Iterator[Receiver]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    receiver = server.receiver = Receiver(f"http://127.0.0.1:{server.server_port}/hook")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        receiver: Receiver = self.server.receiver  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        call = Call(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        receiver.calls.append(call)
        answer = receiver.answer(call)
        status, headers, *told = answer if isinstance(answer, tuple) else (answer, {})
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"".join(told))

    def log_message(self, format: str, *args: object) -> None:
        pass
