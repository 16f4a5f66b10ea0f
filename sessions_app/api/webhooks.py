"""Addresses that are told what happens. What they are told, and how to verify it: docs/webhooks.md."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Query, Router
from pydantic import BaseModel, Field, JsonValue, StrictBool

from sessions_app.api import cursors
from sessions_app.api.auth import needs, restaurant_of
from sessions_app.api.fields import VISIBLE, Answer, Body
from sessions_app.api.openapi import reading, writing
from sessions_app.api.queries import check_query
from sessions_app.models import ApiKey, Webhook, WebhookDelivery
from sessions_app.policy.addresses import MAX_URL_CHARACTERS
from sessions_app.services import webhooks

router = Router()

_read = needs(ApiKey.Scope.WEBHOOKS_READ)
_write = needs(ApiKey.Scope.WEBHOOKS_WRITE)

_URI: dict[str, JsonValue] = {"format": "uri"}
_CHOOSABLE: dict[str, JsonValue] = {"enum": [*webhooks.CHOOSABLE]}

Url = Annotated[
    str,
    Field(min_length=1, max_length=MAX_URL_CHARACTERS, pattern=VISIBLE, description="https://…", json_schema_extra=_URI),
]
Topic = Annotated[str, Field(json_schema_extra=_CHOOSABLE)]  # described only: the service refuses others, in words of its own
Topics = Annotated[list[Topic], Field(max_length=50, description="Empty: everything there is and will be.")]


class WebhookIn(Body):
    url: Url
    topics: Topics = Field(default_factory=list)


class WebhookChange(Body):
    """What is left out stays."""

    url: Url | None = None
    topics: Topics | None = None
    is_active: StrictBool | None = None


class WebhookOut(Answer):
    id: UUID
    url: Annotated[str, Field(json_schema_extra=_URI)]
    topics: list[Webhook.Topic]
    """Empty: everything."""
    is_active: bool
    inactive_reason: str
    """Why it was switched off, when nobody asked for it."""
    failing_since: datetime | None
    """Null while the last attempt was answered with 2xx."""
    last_error: str
    last_success_at: datetime | None
    created_at: datetime


class WebhookWithSecret(WebhookOut):
    secret: str
    """Verifies signatures. Shown this once."""


class WebhookList(Answer):
    items: list[WebhookOut]


class DeliveryOut(Answer):
    id: UUID
    """As in the header `webhook-id`."""
    type: Webhook.Topic
    state: WebhookDelivery.Outcome
    attempts: int
    response_status: int | None
    """Of the last attempt; null without an answer."""
    error: str
    created_at: datetime
    next_attempt_at: datetime | None
    """Null once it is finished."""
    finished_at: datetime | None


class DeliveryPage(Answer):
    items: list[DeliveryOut]
    next_cursor: str | None
    """Null on the last page."""


class DeliveryFilters(BaseModel):
    state: WebhookDelivery.Outcome | None = None
    cursor: cursors.SeqCursor | None = None
    limit: cursors.Limit = 50


@router.post("", auth=_write, response={201: WebhookWithSecret}, openapi_extra=writing(409))
def create_webhook(request: HttpRequest, response: HttpResponse, webhook: WebhookIn) -> WebhookWithSecret:
    """It is told what happens from now on. Keep the `secret`: it is shown this once.

    409 beyond 20 webhooks, and while the same address is told the same topics already: `detail` names that webhook. If no answer
    came to the request that made it, `POST …/secret` brings a secret.
    """
    made = webhooks.create(restaurant=restaurant_of(request), url=webhook.url, topics=webhook.topics)
    response["Location"] = reverse("api:get_webhook", args=[made.pk])
    return _with_secret(made)


@router.get("", auth=_read, response={200: WebhookList}, openapi_extra=reading(422))
def list_webhooks(request: HttpRequest) -> WebhookList:
    """All of the restaurant, 20 at most."""
    check_query(request)
    found = Webhook.objects.filter(restaurant=restaurant_of(request))
    return WebhookList(items=[_out(webhook) for webhook in found])


@router.get("/{id:webhook_id}", auth=_read, response={200: WebhookOut}, openapi_extra=reading(404))
def get_webhook(request: HttpRequest, webhook_id: UUID) -> WebhookOut:
    """The address, what it is told, and how it has been answering."""
    return _out(_own(request, webhook_id))


@router.patch("/{id:webhook_id}", auth=_write, response={200: WebhookOut}, openapi_extra=writing(404, 409))
def change_webhook(request: HttpRequest, webhook_id: UUID, change: WebhookChange) -> WebhookOut:
    """A new address, and one that is switched on again, is tried at once.

    409 where it would tell an address what another webhook tells it already: `detail` names that one.
    """
    webhook = _own(request, webhook_id)
    return _out(webhooks.change(webhook=webhook, url=change.url, topics=change.topics, is_active=change.is_active))


@router.delete("/{id:webhook_id}", auth=_write, response={204: None}, openapi_extra=reading(404))
def delete_webhook(request: HttpRequest, webhook_id: UUID) -> None:
    """It is told nothing any more, not even what waits; its deliveries go with it."""
    webhooks.delete(webhook=_own(request, webhook_id))


@router.post("/{id:webhook_id}/secret", auth=_write, response={200: WebhookWithSecret}, openapi_extra=reading(404))
def renew_webhook_secret(request: HttpRequest, webhook_id: UUID) -> WebhookWithSecret:
    """A new secret. For a day the old one signs as well."""
    return _with_secret(webhooks.renew_secret(webhook=_own(request, webhook_id)))


@router.post("/{id:webhook_id}/test", auth=_write, response={202: DeliveryOut}, openapi_extra=reading(404, 409))
def test_webhook(request: HttpRequest, webhook_id: UUID) -> DeliveryOut:
    """Sends `webhook.test` within a second or two; its delivery tells what came of it."""
    return _delivery(webhooks.try_out(webhook=_own(request, webhook_id)))


@router.get("/{id:webhook_id}/deliveries", auth=_read, response={200: DeliveryPage}, openapi_extra=reading(404, 422))
def list_deliveries(request: HttpRequest, webhook_id: UUID, filters: Query[DeliveryFilters]) -> DeliveryPage:
    """The newest first; those that are finished for 30 days."""
    check_query(request, DeliveryFilters.model_fields)
    found = WebhookDelivery.objects.filter(webhook=_own(request, webhook_id)).order_by("-id")
    if filters.state is not None:
        found = found.filter(state=filters.state)
    if filters.cursor is not None:
        found = found.filter(pk__lt=cursors.seq(filters.cursor))
    shown, more = cursors.page(found, filters.limit, lambda delivery: cursors.of_seq(delivery.pk))
    return DeliveryPage(items=[_delivery(one) for one in shown], next_cursor=more)


def _own(request: HttpRequest, webhook_id: UUID) -> Webhook:
    return webhooks.get(restaurant=restaurant_of(request), webhook_id=webhook_id)


def _out(webhook: Webhook) -> WebhookOut:
    return WebhookOut(**{name: getattr(webhook, name) for name in WebhookOut.model_fields})


def _with_secret(webhook: Webhook) -> WebhookWithSecret:
    return WebhookWithSecret(**{name: getattr(webhook, name) for name in WebhookWithSecret.model_fields})


def _delivery(row: WebhookDelivery) -> DeliveryOut:
    renamed: dict[str, Any] = {
        "id": row.event_id,
        "type": row.topic,
        # What somebody asked for goes first since it is long overdue (`webhooks.GOES_FIRST`).
        "next_attempt_at": None if row.finished_at else max(row.next_attempt_at, row.created_at),
    }
    return DeliveryOut(**renamed | {name: getattr(row, name) for name in DeliveryOut.model_fields if name not in renamed})
