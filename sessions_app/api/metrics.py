"""/metrics, for Prometheus: what `/health` tells, and what waits. All of it is read from the database when somebody asks, so that
every web process answers alike. No restaurant, number or name is in it."""

import math
from collections.abc import Iterator, Mapping

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from sessions_app.api import auth, health, problems
from sessions_app.api.health import Health
from sessions_app.api.problems import ProblemError
from sessions_app.services import backlog
from sessions_app.services.backlog import Backlog, Deliveries


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """503 when the database is away, with the little that is known then."""
    if not settings.METRICS_TOKEN:
        raise Http404
    if not auth.is_metrics_token(token := auth.sent_token(request)):
        return problems.response(_refused(request, "invalid" if token else "missing"))
    gauges = _read()
    registry = CollectorRegistry()  # not the library's own, which tells of this process
    registry.register(gauges)
    return HttpResponse(
        generate_latest(registry),
        status=503 if gauges.waiting is None else 200,
        content_type=CONTENT_TYPE_PLAIN_0_0_4,
        headers={"Cache-Control": "no-store"},
    )


urls = [path("metrics", csrf_exempt(metrics))]


class Gauges(Collector):
    """Of one moment. `waiting` is None while the database is away."""

    def __init__(self, found: Health, waiting: Backlog | None) -> None:
        self.found, self.waiting = found, waiting

    def collect(self) -> Iterator[Metric]:
        yield _gauge("database_up", "Whether the database answers.", self.waiting is not None)
        yield _gauge("redis_up", "Whether Redis, the broker, answers.", self.found.redis)
        if self.waiting is not None:
            yield from _of_health(self.found)
            yield from _of_messages(self.waiting)
            yield from _of_deliveries(self.waiting.deliveries)


def _of_health(found: Health) -> Iterator[Metric]:
    if workers := found.workers:
        yield _gauge("workers_alive", "Session workers whose lease has not run out.", workers.alive)
        yield _gauge("workers_ready", "Of those alive: with a bridge that runs, and not stopping.", workers.ready)
        yield _gauge("workers_draining", "Of those alive: stopping, they hand their sessions over.", workers.draining)
    yield _gauges("sessions", "Sessions by state.", "state", found.sessions or {})
    age = math.inf if found.sweep_age_s is None else found.sweep_age_s
    yield _gauge("sweep_age_seconds", "Since periodic work was last done, which is every 2 s; +Inf: never.", age)


def _of_messages(waiting: Backlog) -> Iterator[Metric]:
    queued = {str(lane.label): count for lane, count in waiting.queued.items()}
    yield _gauges("messages_queued", "Messages that wait for their turn, by lane.", "lane", queued)
    yield _gauge("messages_scheduled", "Messages that wait for their time.", waiting.scheduled)
    yield _gauge("messages_sending", "Messages that are being handed to WhatsApp.", waiting.under_way.sending)
    yield _gauge("messages_uncertain", "Messages handed over without an answer yet.", waiting.under_way.uncertain)
    told = "For how long the message has been due that has been so for longest; 0: none."
    yield _gauge("oldest_due_message_age_seconds", told, waiting.oldest_due_s)


def _of_deliveries(deliveries: Deliveries) -> Iterator[Metric]:
    yield _gauge("webhook_deliveries_waiting", "Events that a webhook has still to be told.", deliveries.waiting)
    yield _gauge("oldest_webhook_delivery_age_seconds", "Since the oldest of those events; 0: none.", deliveries.oldest_s)


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(f"restaurant_wa_{name}", told, value=float(value))


def _gauges(name: str, told: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(f"restaurant_wa_{name}", told, labels=[label])
    for each, value in values.items():
        family.add_metric([each], float(value))
    return family


def _read() -> Gauges:
    found = health.check()
    try:
        return Gauges(found, backlog.read() if found.database else None)
    except DatabaseError:
        connection.close()
        return Gauges(found, None)


def _refused(request: HttpRequest, reason: str) -> ProblemError:
    auth.note_refusal(request, reason, "")
    headers = {"WWW-Authenticate": 'Bearer realm="Restaurant WA metrics"'}
    return ProblemError(401, "unauthenticated", "Send the token of METRICS_TOKEN.", headers=headers)
