"""The outer edge of /api and /internal: whatever leaves here as an error is a problem, inside ninja or not."""

from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from sessions_app.api import auth, problems
from sessions_app.api.problems import ProblemError

log = structlog.get_logger(__name__)

DATABASE_RETRY_S = 5
MAX_INTERNAL_BODY_BYTES = 16 * 1024 * 1024  # 200 events of the bridge, each with the longest text WhatsApp allows

_BY_STATUS = {
    400: ("bad_request", "This request cannot be understood."),
    403: ("forbidden", "This is not allowed."),
    404: ("not_found", "There is no such address."),
    405: ("method_not_allowed", "This address does not answer that method; the Allow header names those it does."),
    500: ("internal", "Something went wrong here. It was logged; try again, and report it if it stays."),
}


class ApiBoundaryMiddleware:
    """Refuses bodies that are too large before anything reads them, and turns foreign errors into problems."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(("/api/", "/internal/")):
            return self.get_response(request)
        refusal = refuse_body(request)
        if refusal is not None:
            return problems.response(refusal)
        response = as_problem(self.get_response(request))
        response.headers.setdefault("Cache-Control", "no-store")  # customers' numbers and messages
        return response

    def process_view(self, request: HttpRequest, view: Callable[..., Any], *_: Any) -> HttpResponse | None:
        """The form of a page is read before its view, to find the CSRF token, and files in it go to a disk of any size."""
        if getattr(view, "csrf_exempt", False):
            return None
        refusal = refuse_body(request)
        return None if refusal is None else problems.response(refusal)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if request.path_info.startswith(("/api/", "/internal/")):
            return from_exception(request, exception)
        return None


def refuse_body(request: HttpRequest) -> ProblemError | None:
    length = request.META.get("CONTENT_LENGTH") or ""
    if not length and request.META.get("HTTP_TRANSFER_ENCODING"):
        return ProblemError(411, "length_required", "Send the body with a Content-Length.")
    from_bridge = request.path_info.startswith("/internal/") and auth.is_bridges_secret(auth.sent_token(request))
    limit = MAX_INTERNAL_BODY_BYTES if from_bridge else settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if length.isdecimal() and int(length) > limit:
        return ProblemError(413, "body_too_large", f"The body is larger than {limit} bytes.", headers={"Connection": "close"})
    return None


def as_problem(response: HttpResponseBase) -> HttpResponseBase:
    """An error page made by Django itself (unknown address, wrong method, refused host) as a problem."""
    status = response.status_code
    if status < 400 or response.headers.get("Content-Type", "").startswith((problems.MEDIA_TYPE, "application/json")):
        return response
    code, detail = _BY_STATUS.get(status, ("error", response.reason_phrase))
    kept = {name: response.headers[name] for name in ("Allow", "Retry-After") if name in response.headers}
    return problems.response(ProblemError(status, code, detail, headers=kept))


def from_exception(request: HttpRequest, exc: Exception) -> HttpResponse:
    """The answer to an exception nobody expected; internals go to the log only."""
    if isinstance(exc, OperationalError | InterfaceError):
        log.error("api.database_unavailable", path=request.path_info, error=type(exc.__cause__ or exc).__name__)
        return problems.response(database_unavailable())
    if isinstance(exc, SuspiciousOperation):
        return problems.response(ProblemError(400, *_BY_STATUS[400]))
    log.error("api.internal_error", path=request.path_info, method=request.method, exc_info=exc)
    return problems.response(ProblemError(500, *_BY_STATUS[500]))


def database_unavailable() -> ProblemError:
    detail = "The database cannot be reached just now. Try again; with an Idempotency-Key no message is made twice."
    return ProblemError(503, "database_unavailable", detail, headers={"Retry-After": str(DATABASE_RETRY_S)})
