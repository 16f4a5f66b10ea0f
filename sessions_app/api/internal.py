"""The bridges' door: POST /internal/bridge/events (node_bridge/README.md)."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from sessions_app.api import auth, parser, problems
from sessions_app.api.middleware import MAX_INTERNAL_BODY_BYTES
from sessions_app.api.problems import ProblemError
from sessions_app.services import inbound

MAX_EVENTS = 200


@csrf_exempt
@require_POST
def bridge_events(request: HttpRequest) -> HttpResponse:
    """2xx: the whole batch is applied for good. 503: nothing of it is, send it again."""
    try:
        sent = _sent_token_or_body(request)
        return JsonResponse(inbound.record(bridge=_bridge(sent), events=_events(sent)))
    except ProblemError as problem:
        return problems.response(problem)


urls = [path("internal/bridge/events", bridge_events)]


def _sent_token_or_body(request: HttpRequest) -> dict[str, Any]:
    """The body, once the caller has proved to be a bridge: by a header, or by `secret` in a body as large as any other's."""
    token = auth.sent_token(request)
    if token and not auth.is_bridges_secret(token):
        raise _refused(request, "invalid")
    sent = parser.parse(request.read(MAX_INTERNAL_BODY_BYTES + 1))
    if not isinstance(sent, dict):
        raise ProblemError(400, "invalid_request", "The body has to be an object.") if token else _refused(request, "missing")
    secret = sent.get("secret")
    if not token and not (isinstance(secret, str) and auth.is_bridges_secret(secret)):
        raise _refused(request, "invalid" if secret else "missing")
    return sent


def _refused(request: HttpRequest, reason: str) -> ProblemError:
    auth.note_refusal(request, reason, "")
    headers = {"WWW-Authenticate": 'Bearer realm="Restaurant WA bridges"'}
    return ProblemError(401, "unauthenticated", "Send the shared secret.", headers=headers)


def _bridge(sent: dict[str, Any]) -> str:
    bridge = sent.get("bridge")
    if not isinstance(bridge, str) or not 1 <= len(bridge) <= 64:
        raise problems.invalid("body", "bridge", "invalid", "Name the bridge.")
    return bridge


def _events(sent: dict[str, Any]) -> list[Any]:
    events = sent.get("events")
    if not isinstance(events, list) or len(events) > MAX_EVENTS:
        raise problems.invalid("body", "events", "invalid", f"Send a list of at most {MAX_EVENTS} events.")
    return events
