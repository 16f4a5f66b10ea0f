"""How the old routes are entered and left: an API key in a header or as `secret` in the body, `success` in every answer."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from sessions_app.api import auth, parser, problems
from sessions_app.api.errors import of_domain
from sessions_app.api.middleware import refuse_body
from sessions_app.api.problems import ProblemError
from sessions_app.api.unexpected import from_exception
from sessions_app.errors import DomainError
from sessions_app.models import ApiKey

Body = dict[str, Any]
Act = Callable[..., dict[str, Any]]
View = Callable[..., HttpResponse]


def route(method: str, scope: ApiKey.Scope) -> Callable[[Act], View]:
    """A view of `act(request, body, **path)`, which answers what follows `success` and raises what any route may raise."""

    def wrap(act: Act) -> View:
        @csrf_exempt  # no cookie opens it
        @wraps(act)
        def view(request: HttpRequest, **path: str) -> HttpResponse:
            try:
                response: HttpResponse = JsonResponse(
                    {"success": True, **act(request, _admitted(request, method, scope), **path)}
                )
            except ProblemError as problem:
                response = _failed(problems.response(problem))
            except DomainError as error:
                response = _failed(problems.response(of_domain(error)))
            except Exception as error:
                response = _failed(from_exception(request, error))
            response.headers["Cache-Control"] = "no-store"
            return response

        return view

    return wrap


def _admitted(request: HttpRequest, method: str, scope: ApiKey.Scope) -> Body:
    """The body, once the caller has proved to hold a key; a key in a header spares reading a stranger's body."""
    if request.method != method and (request.method, method) != ("HEAD", "GET"):
        raise ProblemError(405, "method_not_allowed", f"Use {method} here.", headers={"Allow": method})
    token = auth.sent_token(request)
    body: Body = {} if token else _body(request)
    secret = body.get("secret")
    shown = token or (secret if isinstance(secret, str) else "")
    key = auth.admit(request, shown.strip(), scope)
    if key is None:
        auth.note_refusal(request, "invalid" if shown else "missing", shown)
        how = (
            "Send an API key as 'Authorization: Bearer …', as 'X-API-Key: …', or as \"secret\" in the body; never in the address."
        )
        raise ProblemError(401, "unauthenticated", how, headers={"WWW-Authenticate": 'Bearer realm="Restaurant WA"'})
    request.auth = key  # type: ignore[attr-defined]  # as ninja does, for `auth.restaurant_of` and `auth.actor_of`
    return _body(request) if token else body


def _body(request: HttpRequest) -> Body:
    refusal = refuse_body(request)
    if refusal is not None:
        raise refusal
    sent = parser.parse(request.body) if request.body else {}
    if not isinstance(sent, dict):
        raise ProblemError(400, "invalid_request", "The body has to be a JSON object.")
    return sent


def _failed(problem: HttpResponse) -> HttpResponse:
    told = json.loads(problem.content)
    kept = {name: value for name, value in problem.headers.items() if name not in ("Content-Type", "Content-Length")}
    return JsonResponse({"success": False, "error": told["detail"], **told}, status=problem.status_code, headers=kept)
