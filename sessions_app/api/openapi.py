"""The OpenAPI description, true about errors too: each route names the problems it answers with, in their own media type."""

from http import HTTPStatus
from typing import Any

from ninja.schema import NinjaGenerateJsonSchema

from sessions_app.api.problems import MEDIA_TYPE, Problem

_READING = (401, 403, 429, 503)
_WRITING = (*_READING, 400, 413, 415, 422)
_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def reading(*more: int) -> dict[str, Any]:
    """`openapi_extra` of a route without a body: the problems it may answer with."""
    return {"responses": {status: _problem(status) for status in (*_READING, *more)}}


def writing(*more: int) -> dict[str, Any]:
    """The same for a route with a body."""
    return {"responses": {status: _problem(status) for status in (*_WRITING, *more)}}


def tell_the_truth(schema: dict[str, Any]) -> None:
    """Any route may also answer with a problem nobody names one by one, such as 405. HEAD is GET, and described with it. A
    query or a header may be left out, but is never null: it is text."""
    described = Problem.model_json_schema(
        by_alias=True, mode="serialization", ref_template="#/components/schemas/{model}", schema_generator=NinjaGenerateJsonSchema
    )
    schema["components"]["schemas"] |= described.pop("$defs") | {"Problem": described}
    for path in schema["paths"].values():
        path.pop("head", None)
        for operation in path.values():
            operation["responses"]["default"] = {"description": "Any other error.", "content": _CONTENT}
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _as_text(parameter["schema"])


def _as_text(schema: dict[str, Any]) -> dict[str, Any]:
    """Of a parameter, without the null that stands for one that is left out."""
    if "anyOf" not in schema:
        return schema
    others, left = dict(schema), [one for one in schema["anyOf"] if one != {"type": "null"}]
    del others["anyOf"]
    return left[0] | others if len(left) == 1 else others | {"anyOf": left}


def _problem(status: int) -> dict[str, Any]:
    return {"description": HTTPStatus(status).phrase, "content": _CONTENT}
