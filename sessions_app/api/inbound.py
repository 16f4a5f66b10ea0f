"""What customers wrote to the restaurant."""

from datetime import datetime
from uuid import UUID

from django.http import HttpRequest
from ninja import Query, Router
from pydantic import BaseModel

from sessions_app.api import cursors
from sessions_app.api.auth import needs, restaurant_of
from sessions_app.api.fields import Answer
from sessions_app.api.openapi import reading
from sessions_app.api.queries import check_query
from sessions_app.models import ApiKey, InboundMessage
from sessions_app.services.webhook_bodies import received

router = Router()


class InboundOut(Answer):
    id: UUID
    session_id: UUID
    sender_phone: str
    """E.164; empty when WhatsApp does not tell the number."""
    sender_name: str
    kind: str
    text: str
    edits: UUID | None
    """Of an edit: the message whose place `kind` and `text` take. Null also when that one is not known here."""
    sent_at: datetime
    received_at: datetime


class InboundPage(Answer):
    items: list[InboundOut]
    next_cursor: str | None
    """Null on the last page."""


class InboundFilters(BaseModel):
    session_id: UUID | None = None
    cursor: cursors.IdCursor | None = None
    limit: cursors.Limit = 50


@router.get("", auth=needs(ApiKey.Scope.MESSAGES_READ), response={200: InboundPage}, openapi_extra=reading(422))
def list_inbound(request: HttpRequest, filters: Query[InboundFilters]) -> InboundPage:
    """The newest first. Follow `next_cursor` for older ones."""
    check_query(request, InboundFilters.model_fields)
    found = InboundMessage.objects.select_related("contact").filter(restaurant=restaurant_of(request)).order_by("-id")
    if filters.session_id is not None:
        found = found.filter(session_id=filters.session_id)
    if filters.cursor is not None:
        found = found.filter(pk__lt=cursors.id(filters.cursor))
    shown, more = cursors.page(found, filters.limit, lambda message: cursors.of_id(message.pk))
    return InboundPage(items=[InboundOut(**received(message)) for message in shown], next_cursor=more)
