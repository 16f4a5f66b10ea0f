"""What PostgreSQL holds. Services are the only writers; the bridge alone writes the tables in `keys`."""

from sessions_app.models.access import ApiKey, Membership
from sessions_app.models.contacts import Consent, Contact, InboundMessage
from sessions_app.models.keys import BridgeCreds, BridgeKey, BridgeSentMessage
from sessions_app.models.messages import IdempotencyRecord, Message, MessageEvent
from sessions_app.models.restaurants import Restaurant
from sessions_app.models.sessions import SendTally, Session, SessionEvent
from sessions_app.models.sweeps import Sweep
from sessions_app.models.webhooks import Webhook, WebhookDelivery
from sessions_app.models.workers import Worker

__all__ = [
    "ApiKey",
    "BridgeCreds",
    "BridgeKey",
    "BridgeSentMessage",
    "Consent",
    "Contact",
    "IdempotencyRecord",
    "InboundMessage",
    "Membership",
    "Message",
    "MessageEvent",
    "Restaurant",
    "SendTally",
    "Session",
    "SessionEvent",
    "Sweep",
    "Webhook",
    "WebhookDelivery",
    "Worker",
]
