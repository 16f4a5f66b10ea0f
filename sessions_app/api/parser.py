"""Reading JSON bodies strictly: what is not JSON is refused before any schema looks at it."""

import json
from typing import Any, NoReturn

from django.http import HttpRequest
from ninja.parser import Parser

from sessions_app.api.problems import ProblemError


class StrictParser(Parser):
    def parse_body(self, request: HttpRequest) -> Any:
        content_type = (request.content_type or "").lower()
        if content_type != "application/json" and not content_type.endswith("+json"):
            raise ProblemError(415, "unsupported_media_type", "Send the body as application/json.")
        return parse(request.body)


def parse(body: bytes) -> Any:
    """Raises ProblemError 400: not UTF-8, not JSON, NaN and Infinity, nested too deeply, numbers without end."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        detail = f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        raise ProblemError(400, "malformed_json", detail) from error
    except (ValueError, RecursionError) as error:
        raise ProblemError(400, "malformed_json", "The body is not JSON in UTF-8.") from error


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
