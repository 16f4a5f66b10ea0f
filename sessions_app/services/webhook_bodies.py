"""What a webhook is told, as JSON: type, timestamp and data (Standard Webhooks 1.0)."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from sessions_app.models import InboundMessage, MessageEvent, SessionEvent, Webhook, WebhookDelivery


def body(delivery: WebhookDelivery) -> bytes:
    """The same at every attempt, but for names that were changed. `delivery` comes with its webhook and with what it tells of."""
    at, data = _told(delivery)
    told = {"type": delivery.topic, "timestamp": at, "data": {"restaurant_id": delivery.webhook.restaurant_id, **data}}
    return json.dumps(told, cls=DjangoJSONEncoder, ensure_ascii=False, separators=(",", ":")).encode()


def _told(delivery: WebhookDelivery) -> tuple[datetime, Mapping[str, Any]]:
    if delivery.message_event is not None:
        return delivery.message_event.at, _message(delivery.message_event)
    if delivery.inbound is not None:
        return delivery.inbound.created_at, received(delivery.inbound)
    if delivery.session_event is not None:
        return delivery.session_event.at, _session(delivery.session_event, delivery.topic)
    return delivery.created_at, {}


def _message(event: MessageEvent) -> dict[str, Any]:
    message, reason = event.message, str(event.detail.get("reason", ""))
    return {
        "message_id": message.pk,
        "session_id": message.session_id,
        "to": message.to_phone,
        "reference": message.reference,
        "status": event.status,
        "at": event.at,
        "reason": reason,
    }


def received(inbound: InboundMessage) -> dict[str, Any]:
    """Also what the API's list of inbound messages shows."""
    return {
        "id": inbound.pk,
        "session_id": inbound.session_id,
        "sender_phone": inbound.contact.phone if inbound.contact else "",
        "sender_name": inbound.contact.name if inbound.contact else "",
        "kind": inbound.kind,
        "text": inbound.text,
        "edits": inbound.edits,
        "sent_at": inbound.sent_at,
        "received_at": inbound.created_at,
    }


def _session(event: SessionEvent, topic: str) -> dict[str, Any]:
    session, detail = event.session, event.detail
    data = {"session_id": session.pk, "session_name": session.name, "phone": session.phone, "at": event.at}
    match topic:
        case Webhook.Topic.SESSION_STATE:
            told = {"state": detail.get("to", ""), "before": detail.get("from", ""), "reason": detail.get("reason", "")}
            return data | told | {"until": detail.get("until")}
        case Webhook.Topic.SESSION_RESTRICTION:
            active = detail.get("active") is True
            return data | {"active": active, "until": detail.get("until") if active else None}
        case _:
            status = str(detail.get("status", "")).lower()
            limits = {name: detail.get(name) for name in ("used", "total", "cycle_ends_at")}
            return data | {"status": status, **limits}
