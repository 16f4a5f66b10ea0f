"""What no route means to answer, as a problem: exceptions that nobody expected, and the error pages of Django itself."""

import structlog
from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from sessions_app.api import problems
from sessions_app.api.problems import ProblemError

log = structlog.get_logger(__name__)

DATABASE_RETRY_S = 5

_BY_STATUS = {
    400: ("bad_request", "This request cannot be understood."),
    403: ("forbidden", "This is not allowed."),
    404: ("not_found", "There is no such address."),
    405: ("method_not_allowed", "This address does not answer that method; the Allow header names those it does."),
    500: ("internal", "Something went wrong here. It was logged; try again, and report it if it stays."),
}


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
