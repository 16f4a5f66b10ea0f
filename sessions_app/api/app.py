"""The API object: its routers, its errors and its OpenAPI description."""

from typing import Any

from django.http import HttpRequest, HttpResponseNotFound
from django.urls import register_converter
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from ninja import NinjaAPI, Router
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation

from sessions_app.api import errors, health, inbound, messages, sessions, webhooks
from sessions_app.api.docs import Docs
from sessions_app.api.openapi import tell_the_truth
from sessions_app.api.parser import StrictParser
from sessions_app.api.paths import IdConverter

DESCRIPTION = """
Send WhatsApp messages from a restaurant's own number: durably, at a human pace, shown once.

Send your API key as `Authorization: Bearer …` or `X-API-Key: …`. Every error is an `application/problem+json`
([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) with a stable `code`.
"""


class Api(NinjaAPI):
    def get_openapi_schema(self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None) -> OpenAPISchema:
        schema = super().get_openapi_schema(path_prefix=path_prefix, path_params=path_params)
        tell_the_truth(schema)
        return schema

    def get_openapi_operation_id(self, operation: Operation) -> str:
        return operation.view_func.__name__


def build() -> Api:
    built = Api(
        title="Restaurant WA",
        version="1",
        description=DESCRIPTION,
        urls_namespace="api",
        parser=StrictParser(),
        docs=Docs(),
        docs_decorator=lambda view: csrf_exempt(require_safe(view)),
    )
    errors.install(built)
    built.add_router("/messages", _with_head(messages.router), tags=["Messages"])
    built.add_router("/inbound", _with_head(inbound.router), tags=["Inbound messages"])
    built.add_router("/sessions", _with_head(sessions.router), tags=["Sessions"])
    built.add_router("/webhooks", _with_head(webhooks.router), tags=["Webhooks"])
    built.add_router("/health", _with_head(health.router), tags=["Health"])
    return built


def _with_head(router: Router) -> Router:
    """What answers GET answers HEAD: in full, of which the server sends no body."""
    for path in router.path_operations.values():
        for operation in path.operations:
            if "GET" in operation.methods:
                operation.methods.append("HEAD")
    return router


@csrf_exempt
def root(request: HttpRequest) -> HttpResponseNotFound:
    """There is nothing, for every method: ninja's own page asks a POST for a CSRF token."""
    return HttpResponseNotFound()


register_converter(IdConverter, "id")
api = build()
