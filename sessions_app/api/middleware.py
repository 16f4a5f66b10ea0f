"""The outer edge of /api and /internal: whatever leaves here as an error is a problem, inside ninja or not."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from sessions_app.api import auth, problems
from sessions_app.api.problems import ProblemError
from sessions_app.api.unexpected import as_problem, from_exception

MAX_INTERNAL_BODY_BYTES = 16 * 1024 * 1024  # 200 events of the bridge, each with the longest text WhatsApp allows


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
