"""The admin's first page: what needs a person comes first. Each figure is one query on an index, and says what it counts."""

import uuid
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from sessions_app.admin.day_filter import first_id
from sessions_app.admin.grants import Grants, grants_of
from sessions_app.admin.queries import NEWEST_COUNTED, counts_by_status, live_workers, oldest_waiting
from sessions_app.admin.restricted import Notice, notices
from sessions_app.admin.words import NEEDS_A_PERSON, message_badge, session_badge, span
from sessions_app.models import Message, Session, Webhook
from sessions_app.services import standing, sweeps

SHOWN = 8
FAILS_FOR = timedelta(minutes=5)  # shorter ones mend themselves before anybody looks
STATES = Session.State
ORDER = (
    STATES.LOGGED_OUT,
    STATES.BLOCKED,
    STATES.DISCONNECTED,
    STATES.UNLINKED,
    STATES.LINKING,
    STATES.CONNECTING,
    STATES.STOPPED,
    STATES.CONNECTED,
)


@dataclass(frozen=True)
class Figure:
    label: str
    count: int
    tone: str
    url: str
    capped: bool = False


@dataclass(frozen=True)
class Restricted:
    session: Session
    notice: Notice  # the gravest of them


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Called by Unfold for the index page."""
    grants = grants_of(request)
    sessions = _mine(Session.objects.filter(deleted_at__isnull=True), grants)
    counts = dict(sessions.order_by().values_list("state").annotate(Count("pk")))
    workers, restricted = list(live_workers()), _restricted(sessions)
    return {
        **context,
        "title": "Overview",
        "troubled": list(
            sessions.filter(state__in=NEEDS_A_PERSON).select_related("restaurant").order_by("-state_changed_at")[:SHOWN]
        ),
        "troubled_count": sum(counts.get(state, 0) for state in NEEDS_A_PERSON),
        "restricted": restricted[:SHOWN],
        "restricted_count": len(restricted),
        "webhooks_troubled": _unheard(_mine(Webhook.objects.all(), grants)),
        "states": [_state(state, counts.get(state, 0)) for state in ORDER if counts.get(state)],
        "session_total": sum(counts.values()),
        "today": _today(grants),
        "today_url": f"{reverse('admin:sessions_app_message_changelist')}?from={timezone.now():%Y-%m-%d}",
        "oldest": oldest_waiting(restaurants=_restaurants(grants)),
        "workers_alive": len(workers),
        "workers_ready": sum(worker.bridge_ready and not worker.draining for worker in workers),
        "workers_troubled": [worker for worker in workers if not worker.bridge_ready] if grants.everything else [],
        "standstill": _standstill(sweeps.age()),
        "is_operator": grants.everything,
        "no_restaurant": not grants.everything and not grants.readable,
    }


def _mine(rows: QuerySet[Any], grants: Grants) -> QuerySet[Any]:
    return rows if grants.everything else rows.filter(restaurant_id__in=grants.readable)


def _restricted(sessions: QuerySet[Session]) -> list[Restricted]:
    """Those that WhatsApp holds back while they are connected or about to be; what needs a person is told already."""
    told = Q(standing__has_key="time_lock") | Q(standing__has_key="cap") | Q(standing__has_key="refused")
    rows = sessions.filter(told, linked_at__isnull=False).exclude(state__in=NEEDS_A_PERSON).select_related("restaurant")
    now = timezone.now()
    known = ((row, notices(standing.read(row.standing).known, now)) for row in rows.order_by("restaurant__name", "name"))
    return [Restricted(row, found[0]) for row, found in known if found]


def _unheard(webhooks: QuerySet[Webhook]) -> list[Webhook]:
    """Those whose address has failed for a while, or wants no more calls."""
    failing = Q(is_active=True, failing_since__lt=timezone.now() - FAILS_FOR)
    gone = Q(is_active=False) & ~Q(inactive_reason="")
    return list(webhooks.filter(failing | gone).select_related("restaurant").order_by("failing_since")[:SHOWN])


def _standstill(age: float | None) -> str:
    """For how long nobody has done what is due by itself, as a sentence; empty while somebody does."""
    if not sweeps.stand_still(age):
        return ""
    return "It has never been done yet." if age is None else f"It was last done {span(age)} ago."


def _state(state: str, count: int) -> Figure:
    shown = session_badge(state)
    return Figure(shown.text, count, shown.tone, f"{reverse('admin:sessions_app_session_changelist')}?state={state}")


def _today(grants: Grants) -> list[Figure]:
    """Messages accepted since midnight UTC, by status."""
    day = timezone.now().astimezone(UTC).date()
    counts = counts_by_status(since=first_id(day), restaurants=_restaurants(grants))
    capped = sum(counts.values()) >= NEWEST_COUNTED
    base = f"{reverse('admin:sessions_app_message_changelist')}?from={day}&status="
    return [
        Figure(message_badge(status).text, counts[status], message_badge(status).tone, f"{base}{status}", capped)
        for status in Message.Status.values
        if status in counts
    ]


def _restaurants(grants: Grants) -> list[uuid.UUID] | None:
    return None if grants.everything else list(grants.readable)
