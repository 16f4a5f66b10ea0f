"""POST, GET and cancel messages."""

import hashlib
from typing import Annotated
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Header, Query, Router
from pydantic import BaseModel

from sessions_app.api import cursors
from sessions_app.api.auth import actor_of, needs, restaurant_of
from sessions_app.api.errors import blaming
from sessions_app.api.fields import PhoneText
from sessions_app.api.message_schemas import (
    MessageDetail,
    MessageIn,
    MessageOut,
    MessagePage,
    summary,
    with_estimate,
    with_timeline,
)
from sessions_app.api.openapi import reading, writing
from sessions_app.api.queries import check_query
from sessions_app.errors import InvalidPhone, NotFound
from sessions_app.models import ApiKey, Message, Restaurant
from sessions_app.services import estimates, messages, phones, sessions
from sessions_app.services.messages import Enqueued

router = Router()

_read = needs(ApiKey.Scope.MESSAGES_READ)
_write = needs(ApiKey.Scope.MESSAGES_WRITE)

IdempotencyKey = Annotated[
    str | None,
    Header(
        None,
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x20-\x7e]+$",
        description="The same key with the same request makes one message only, however often it is sent.",
    ),
]


class MessageFilters(BaseModel):
    status: Message.Status | None = None
    session_id: UUID | None = None
    to: PhoneText | None = None
    cursor: cursors.SeqCursor | None = None
    limit: cursors.Limit = 50


@router.post("", auth=_write, response={202: MessageOut}, openapi_extra=writing(404, 409))
def send_message(
    request: HttpRequest, response: HttpResponse, message: MessageIn, idempotency_key: IdempotencyKey = None
) -> MessageOut:
    """Accept a message. It is stored for good when this answers 202; it goes out when its turn comes."""
    enqueued = _accept(restaurant_of(request), message, idempotency_key)
    response["Location"] = reverse("api:get_message", args=[enqueued.message.pk])
    if idempotency_key is not None:
        response["Idempotency-Replayed"] = "true" if enqueued.replayed else "false"
    return _with_estimate(enqueued.message)


@router.get("", auth=_read, response={200: MessagePage}, openapi_extra=reading(422))
def list_messages(request: HttpRequest, filters: Query[MessageFilters]) -> MessagePage:
    """The newest first. Follow `next_cursor` for older ones."""
    check_query(request, MessageFilters.model_fields)
    restaurant = restaurant_of(request)
    found = Message.objects.filter(restaurant=restaurant).select_related("session__restaurant").order_by("-seq")
    if filters.status is not None:
        found = found.filter(status=filters.status)
    if filters.session_id is not None:
        found = found.filter(session_id=filters.session_id)
    if filters.to is not None:
        with blaming(InvalidPhone, "query", "to"):
            found = found.filter(to_phone=phones.normalise(filters.to, restaurant.default_region))
    if filters.cursor is not None:
        found = found.filter(seq__lt=cursors.seq(filters.cursor))
    shown, more = cursors.page(found, filters.limit, lambda message: cursors.of_seq(message.seq))
    waits = estimates.for_messages(messages=shown)
    return MessagePage(items=[summary(message, waits.get(message.pk)) for message in shown], next_cursor=more)


@router.get("/{id:message_id}", auth=_read, response={200: MessageDetail}, openapi_extra=reading(404))
def get_message(request: HttpRequest, message_id: UUID) -> MessageDetail:
    """The message and everything that has happened to it."""
    message = _own(request, message_id)
    return with_timeline(message, estimates.for_message(message=message), list(messages.timeline(message=message)))


@router.post(
    "/{id:message_id}/cancel",
    auth=_write,
    response={200: MessageOut},
    openapi_extra=reading(404, 409),
)
def cancel_message(request: HttpRequest, message_id: UUID) -> MessageOut:
    """Withdraw a message that still waits; 409 once it has been handed over or is finished."""
    return _with_estimate(messages.cancel(message=_own(request, message_id)))


@router.post("/{id:message_id}/confirm", auth=_write, response={200: MessageOut}, openapi_extra=reading(404, 409))
def confirm_message(request: HttpRequest, message_id: UUID) -> MessageOut:
    """Somebody knows that the customer has this `uncertain` message: it counts as sent. 409 for any other."""
    return _with_estimate(messages.confirm(message=_own(request, message_id), by=actor_of(request)))


@router.post("/{id:message_id}/send-again", auth=_write, response={200: MessageOut}, openapi_extra=reading(404, 409))
def send_message_again(request: HttpRequest, message_id: UUID) -> MessageOut:
    """Queue this `uncertain` message again, under its WhatsApp id: WhatsApp's apps show it once. 409 for any other."""
    return _with_estimate(messages.send_again(message=_own(request, message_id), by=actor_of(request)))


def _accept(restaurant: Restaurant, sent: MessageIn, idempotency_key: str | None) -> Enqueued:
    fingerprint = hashlib.sha256(sent.model_dump_json(exclude_defaults=True).encode()).digest()
    if idempotency_key is not None:
        earlier = messages.find_replay(restaurant=restaurant, idempotency_key=idempotency_key, fingerprint=fingerprint)
        if earlier is not None:
            return Enqueued(earlier, replayed=True)
    session = sessions.for_sending(restaurant=restaurant, session_id=sent.session_id)
    with blaming(InvalidPhone, "body", "to"):
        return messages.enqueue(
            session=session,
            to=sent.to,
            body=sent.text,
            priority=sent.priority,
            reference=sent.reference,
            not_before=sent.not_before,
            expires_at=sent.expires_at,
            idempotency_key=idempotency_key,
            fingerprint=fingerprint,
        )


def _own(request: HttpRequest, message_id: UUID) -> Message:
    own = Message.objects.select_related("session__restaurant", "restaurant")
    found = own.filter(restaurant=restaurant_of(request), pk=message_id)
    message = found.first()
    if message is None:
        raise NotFound("This restaurant has no such message.")
    return message


def _with_estimate(message: Message) -> MessageOut:
    return with_estimate(message, estimates.of_accepted(message=message))
