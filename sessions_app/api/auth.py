"""Who is asking: an API key as `Authorization: Bearer …` or `X-API-Key: …`, its scopes and its rate limit."""

import hmac

import structlog
from django.conf import settings
from django.http import HttpRequest
from ninja.security import APIKeyHeader, HttpBearer

from sessions_app.api.problems import ProblemError
from sessions_app.models import ApiKey, Restaurant
from sessions_app.services import api_keys, counters

log = structlog.get_logger(__name__)

HOW = "Send an API key as 'Authorization: Bearer …' or 'X-API-Key: …'."


class ApiKeyBearer(HttpBearer):
    def __init__(self, scope: ApiKey.Scope) -> None:
        super().__init__()
        self.scope = scope

    def authenticate(self, request: HttpRequest, token: str) -> ApiKey | None:
        return admit(request, token.strip(), self.scope)


class ApiKeyHeader(APIKeyHeader):
    param_name = "X-API-Key"

    def __init__(self, scope: ApiKey.Scope) -> None:
        super().__init__()
        self.scope = scope

    def authenticate(self, request: HttpRequest, key: str | None) -> ApiKey | None:
        return admit(request, key.strip(), self.scope) if key else None


def needs(scope: ApiKey.Scope) -> list[ApiKeyBearer | ApiKeyHeader]:
    """The `auth` of a route that only keys with this scope may use."""
    return [ApiKeyBearer(scope), ApiKeyHeader(scope)]


def restaurant_of(request: HttpRequest) -> Restaurant:
    """The restaurant whose key opened this request: nothing outside it exists for the caller."""
    return key_of(request).restaurant


def key_of(request: HttpRequest) -> ApiKey:
    key = request.auth  # type: ignore[attr-defined]
    assert isinstance(key, ApiKey)
    return key


def actor_of(request: HttpRequest) -> str:
    """How the activity log names the caller."""
    return f"API key {key_of(request).name}"


def admit(request: HttpRequest, token: str, scope: ApiKey.Scope) -> ApiKey | None:
    """The key, when it is valid; ProblemError 403 without the scope and 429 beyond the limit."""
    key = api_keys.authenticate(token=token)
    if key is None:
        return None
    if scope not in key.scopes:
        note_refusal(request, "scope", token)
        raise ProblemError(403, "insufficient_scope", f"This API key lacks the scope {scope.value}.")
    _limit(key)
    return key


def note_refusal(request: HttpRequest, reason: str, token: str) -> None:
    """Log and count an unauthorised request: never with what was sent, but for the public prefix of a key."""
    match = request.resolver_match
    log.warning(
        "api.unauthorised",
        reason=reason,
        key_prefix=api_keys.prefix_of(token),
        address=request.META.get("REMOTE_ADDR", ""),
        route=match.route if match else request.path_info,
        method=request.method,
        today=counters.count_refusal(),
    )


def sent_token(request: HttpRequest) -> str:
    """What the caller showed, valid or not; empty when nothing."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else request.headers.get("X-API-Key", "").strip()


def is_bridges_secret(shown: str) -> bool:
    return _is(shown, settings.WHATSAPP_SECRET)


def is_metrics_token(shown: str) -> bool:
    return _is(shown, settings.METRICS_TOKEN)


def _is(shown: str, known: str) -> bool:
    """In constant time; what is not set is nobody's."""
    return bool(known) and hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), known.encode())


def _limit(key: ApiKey) -> None:
    limit: int = settings.API_REQUESTS_PER_MINUTE
    if not limit:
        return
    made, left_s = counters.requests_this_minute(str(key.pk))
    if made > limit:
        detail = f"More than {limit} requests in a minute with this key."
        raise ProblemError(429, "rate_limited", detail, headers={"Retry-After": str(left_s)})
