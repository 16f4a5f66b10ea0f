"""Probes at the root, for load balancers and supervisors: /livez, /readyz and /health."""

from collections.abc import Mapping

from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from sessions_app.api import health
from sessions_app.api.readiness import AWAY, readiness

_NO_STORE = {"Cache-Control": "no-store"}


@require_safe
def livez(request: HttpRequest) -> JsonResponse:
    """The process answers; asks nothing else."""
    return JsonResponse({"status": "ok"}, headers=_NO_STORE)


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Messages can be accepted; else `detail` says what is missing."""
    lacking = readiness.lacking()
    body: dict[str, object] = {"status": "unavailable" if lacking else "ok", "database": lacking != AWAY, "detail": lacking}
    return _answer(body, not lacking)


@require_safe
def whole_health(request: HttpRequest) -> JsonResponse:
    found = health.check()
    return _answer(found.model_dump(), found.database)


def _answer(body: Mapping[str, object], well: bool) -> JsonResponse:
    headers = _NO_STORE if well else {**_NO_STORE, "Retry-After": "5"}
    return JsonResponse(body, status=200 if well else 503, headers=headers)


urls = [path("livez", csrf_exempt(livez)), path("readyz", csrf_exempt(readyz)), path("health", csrf_exempt(whole_health))]
