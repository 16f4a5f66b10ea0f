"""Errors go to Sentry when SENTRY_DSN is set: without personal data, through the same scrubbing as the logs.

Its library is imported by whoever reports: most processes never do, and would start a fifth of a second later.
"""

from typing import TYPE_CHECKING, Any, cast

from restaurant_wa.scrubbing import scrub

if TYPE_CHECKING:
    from sentry_sdk.types import Breadcrumb, BreadcrumbHint, Event, Hint

SHUTDOWN_TIMEOUT_S = 2


def before_send(event: "Event", hint: "Hint") -> "Event | None":
    """Requests are sent without body, cookies and query; everything else is scrubbed."""
    request: dict[str, Any] = event.get("request", {})
    for part in ("data", "cookies", "query_string", "env"):
        request.pop(part, None)
    return cast("Event", scrub(event))


def before_breadcrumb(crumb: "Breadcrumb", hint: "BreadcrumbHint") -> "Breadcrumb | None":
    return cast("Breadcrumb", scrub(crumb))


def start(*, dsn: str, environment: str, release: str) -> None:
    if not dsn:
        return
    import sentry_sdk

    sentry_sdk.init(
        dsn=dsn,
        environment=environment,
        release=release,
        send_default_pii=False,
        include_local_variables=False,  # they hold message texts and keys
        max_request_body_size="never",
        traces_sample_rate=0.0,
        before_send=before_send,
        before_breadcrumb=before_breadcrumb,
        shutdown_timeout=SHUTDOWN_TIMEOUT_S,
    )
