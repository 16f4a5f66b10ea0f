"""Each request has its caller's address; and an id, in its log lines and its answer, and one line in the access log."""

import re
import time
import uuid
from collections.abc import Callable
from ipaddress import ip_address

import structlog
from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest
from django.http.response import HttpResponseBase

log = structlog.get_logger("restaurant_wa.access")
_USABLE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_WITH_PORT = re.compile(r"\[(?P<six>[^]]+)\](:\d+)?|(?P<four>[^:]+):\d+")
# Monitors ask and bridges report up to 20 times a second: what went well there is worth no line.
QUIET_PATHS = frozenset({"/livez", "/readyz", "/health", "/metrics", "/internal/bridge/events"})


class ClientAddressMiddleware:
    """Behind a proxy: REMOTE_ADDR is what it has put last into X-Forwarded-For; what stands before that anybody can write."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if not settings.BEHIND_TLS_PROXY:
            raise MiddlewareNotUsed
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if address := _address(request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()):
            request.META["REMOTE_ADDR"] = address
        return self.get_response(request)


def _address(told: str) -> str:
    """Without the port that some proxies add, or each connection would be somebody else's; empty when it is no address."""
    if match := _WITH_PORT.fullmatch(told):
        told = match["six"] or match["four"]
    try:
        return str(ip_address(told.partition("%")[0]))
    except ValueError:
        return ""


class RequestIdMiddleware:
    """Takes the caller's X-Request-ID if it is harmless, else makes one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _USABLE.fullmatch(given) else uuid.uuid4().hex
        started = time.perf_counter()
        with structlog.contextvars.bound_contextvars(request_id=request_id):
            response = self.get_response(request)
            _note(request, response, started)
        response.headers["X-Request-ID"] = request_id
        return response


def _note(request: HttpRequest, response: HttpResponseBase, started: float) -> None:
    if request.path_info in QUIET_PATHS and response.status_code < 300:
        return
    match = request.resolver_match
    log.info(
        "request",
        method=request.method,
        route=match.route if match else "",
        path=request.path_info,
        status=response.status_code,
        ms=round((time.perf_counter() - started) * 1_000, 1),
    )
