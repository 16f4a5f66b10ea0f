"""What a route raises on purpose, as a problem."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError

from sessions_app.api import auth, problems
from sessions_app.api.problems import FieldProblem, Place, ProblemError, invalid
from sessions_app.api.session_schemas import LINK_METHODS
from sessions_app.api.unexpected import from_exception
from sessions_app.errors import Conflict, DomainError, IdempotencyKeyReused, NotFound
from sessions_app.services.messages import InvalidMessage, OptedOut
from sessions_app.services.sessions import InvalidName, SessionRequired
from sessions_app.services.webhooks import InvalidTopic, InvalidUrl

_STATUS: dict[type[DomainError], int] = {NotFound: 404, Conflict: 409, IdempotencyKeyReused: 422}
_FIELD: dict[type[DomainError], str] = {
    OptedOut: "to",
    SessionRequired: "session_id",
    InvalidName: "name",
    InvalidUrl: "url",
    InvalidTopic: "topics",
}
_CODES = {"missing": "required", "extra_forbidden": "unknown_field", "model_type": "not_an_object"}
_FIELD_WORDS = {"cursor": "Use next_cursor of the page before, unchanged."}
_WORDS = {
    "missing": "This is required.",
    "extra_forbidden": "There is no such field.",
    "model_type": "Send a JSON object.",
    "string_pattern_mismatch": "Nothing in it can be seen, or a character is not allowed (NUL; outside ASCII in a header).",
    "string_unicode": "Half of a surrogate pair is not text.",
}


@contextmanager
def blaming(error: type[DomainError], place: Place, field: str) -> Iterator[None]:
    """A domain error that does not know which field of the request it came from."""
    try:
        yield
    except error as raised:
        raise invalid(place, field, raised.code, str(raised)) from raised


def install(api: NinjaAPI) -> None:
    api.add_exception_handler(ProblemError, lambda request, exc: problems.response(cast(ProblemError, exc)))
    api.add_exception_handler(DomainError, lambda request, exc: problems.response(of_domain(cast(DomainError, exc))))
    api.add_exception_handler(
        ValidationError, lambda request, exc: problems.response(of_validation(cast(ValidationError, exc).errors))
    )
    api.add_exception_handler(AuthenticationError, _unauthenticated)
    api.add_exception_handler(HttpError, _http_error)
    api.add_exception_handler(Http404, lambda request, exc: problems.response(ProblemError(404, "not_found", "There is none.")))
    api.add_exception_handler(Exception, lambda request, exc: from_exception(request, cast(Exception, exc)))


def of_domain(error: DomainError) -> ProblemError:
    field = error.field if isinstance(error, InvalidMessage) else _FIELD.get(type(error))
    if field is not None:
        return invalid("body", field, error.code, str(error))
    return ProblemError(_STATUS.get(type(error), 422), error.code, str(error))


def of_validation(errors: list[dict[str, Any]]) -> ProblemError:
    fields = [_field_problem(error) for error in errors]
    named = ", ".join(dict.fromkeys(field.pointer or field.place for field in fields))
    return ProblemError(422, "invalid_request", f"The request is not valid: {named}.", errors=fields)


def _field_problem(error: Mapping[str, Any]) -> FieldProblem:
    place, *path = error["loc"]
    if place == "body":
        path = path[1:]  # the name of the route's parameter, which the caller never sees
        path = path[1:] if path and path[0] in LINK_METHODS else path  # nor the branch of the union
    pointer = "".join(f"/{_escape(str(part))}" for part in path)
    code = _CODES.get(error["type"], error["type"])
    return FieldProblem(place=place, pointer=pointer, code=code, message=_words(error))


def _words(error: Mapping[str, Any]) -> str:
    message: str = error["msg"]
    if error["type"] == "string_pattern_mismatch" and error["loc"][-1] in _FIELD_WORDS:
        return _FIELD_WORDS[error["loc"][-1]]
    return _WORDS.get(error["type"], message.removeprefix("Value error, "))


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _unauthenticated(request: HttpRequest, exc: object) -> HttpResponse:
    token = auth.sent_token(request)
    auth.note_refusal(request, "invalid" if token else "missing", token)
    detail = f"This API key is unknown, revoked or expired. {auth.HOW}" if token else auth.HOW
    headers = {"WWW-Authenticate": 'Bearer realm="Restaurant WA"'}
    return problems.response(ProblemError(401, "unauthenticated", detail, headers=headers))


def _http_error(request: HttpRequest, exc: Any) -> HttpResponse:
    """ninja wraps what the parser raises."""
    cause = exc.__cause__
    if isinstance(cause, ProblemError):
        return problems.response(cause)
    if cause is not None:
        return from_exception(request, cause)
    return problems.response(ProblemError(exc.status_code, "bad_request", str(exc)))
