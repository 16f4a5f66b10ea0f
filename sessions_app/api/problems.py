"""RFC 9457 problems: the one shape of every error under /api and /internal."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Literal

from django.http import JsonResponse
from pydantic import BaseModel, Field

MEDIA_TYPE = "application/problem+json"


Place = Literal["body", "query", "path", "header"]


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    place: Place = Field(serialization_alias="in")
    pointer: str = Field(description="JSON pointer to the field; empty: the whole body.")
    code: str
    message: str


class Problem(BaseModel):
    """An error. `code` is stable and made for programs; `detail` is made for people."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldProblem] = Field(description="One entry for each field that is wrong; empty when no field is to blame.")


class ProblemError(Exception):
    """Raised anywhere while a request is answered: becomes this problem."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: list[FieldProblem] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.errors, self.headers = errors or [], headers or {}


def invalid(place: Place, field: str, code: str, message: str) -> ProblemError:
    """A 422 that blames one field."""
    error = FieldProblem(place=place, pointer=f"/{field}" if field else "", code=code, message=message)
    return ProblemError(422, code, message, errors=[error])


def response(error: ProblemError) -> JsonResponse:
    problem = Problem(
        type=f"urn:restaurant-wa:problem:{error.code}",
        title=_title(error.status),
        status=error.status,
        code=error.code,
        detail=error.detail,
        errors=error.errors,
    )
    headers = {"Cache-Control": "no-store", **error.headers}
    return JsonResponse(_dump(problem), status=error.status, content_type=MEDIA_TYPE, headers=headers)


def _dump(problem: Problem) -> dict[str, Any]:
    return problem.model_dump(by_alias=True)


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
