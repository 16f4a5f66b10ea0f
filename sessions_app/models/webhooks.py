from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from sessions_app.models.base import UUIDModel
from sessions_app.models.contacts import InboundMessage
from sessions_app.models.messages import MessageEvent
from sessions_app.models.restaurants import Restaurant
from sessions_app.models.sessions import SessionEvent


class Webhook(UUIDModel):
    """An address that is told what happens in a restaurant. Its secret signs, so it is kept as it is, and shown once."""

    class Topic(models.TextChoices):
        MESSAGE_SENT = "message.sent", "WhatsApp's server has a message"
        MESSAGE_DELIVERED = "message.delivered", "The customer's phone has it"
        MESSAGE_READ = "message.read", "The customer has read it"
        MESSAGE_UNCERTAIN = "message.uncertain", "It was handed over, and no answer came yet"
        MESSAGE_FAILED = "message.failed", "It cannot be sent"
        MESSAGE_EXPIRED = "message.expired", "It became too old to be sent"
        MESSAGE_CANCELED = "message.canceled", "It was withdrawn before it was sent"
        MESSAGE_SUPPRESSED = "message.suppressed", "It is not sent: the customer has opted out"
        MESSAGE_RECEIVED = "message.received", "A customer has written"
        SESSION_STATE = "session.state_changed", "A number was linked, lost its connection, was banned or logged out"
        SESSION_RESTRICTION = "session.restriction_changed", "WhatsApp forbids messages to strangers, or allows them again"
        SESSION_NEW_CHATS = "session.new_chat_limit_changed", "WhatsApp warns of its limit of new chats, or counts anew"
        TEST = "webhook.test", "Somebody has asked for a test"

    restaurant = models.ForeignKey(Restaurant, on_delete=models.CASCADE, related_name="webhooks")
    url = models.CharField(max_length=500)
    topics = ArrayField(models.CharField(max_length=40, choices=Topic), default=list, blank=True)  # empty: all
    secret = models.CharField(max_length=80, editable=False)  # whsec_ and base64 of 32 random bytes
    old_secrets = models.JSONField(default=list, editable=False)  # each sign as well "until" then; the newest last
    is_active = models.BooleanField(default=True)
    inactive_reason = models.CharField(max_length=200, blank=True, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False)  # attempts that failed in a row, whatever they carried
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.CharField(max_length=200, blank=True, editable=False)
    last_success_at = models.DateTimeField(null=True, blank=True, editable=False)
    retry_at = models.DateTimeField(db_default=Now(), editable=False)  # nothing goes there before
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "webhook"
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["restaurant"], condition=Q(is_active=True), name="webhook_listening")]

    def __str__(self) -> str:
        return f"To {self.url}"


class WebhookDelivery(models.Model):
    """One event for one webhook. Its id is the same at every attempt: who has seen it drops a second one.

    Rows are made by triggers on the three tables they point at, in the transaction that makes the event true.
    """

    class Outcome(models.TextChoices):
        PENDING = "pending", "Waits for its next attempt"
        DELIVERED = "delivered", "Answered with 2xx"
        FAILED = "failed", "Given up"

    id = models.BigAutoField(primary_key=True)  # the order in which things became true
    event_id = models.UUIDField(db_default=RandomUUID(), unique=True, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    topic = models.CharField(max_length=40, choices=Webhook.Topic)
    message_event = models.ForeignKey(MessageEvent, null=True, on_delete=models.CASCADE, related_name="+")
    session_event = models.ForeignKey(SessionEvent, null=True, on_delete=models.CASCADE, related_name="+")
    inbound = models.ForeignKey(InboundMessage, null=True, on_delete=models.CASCADE, related_name="+")
    state = models.CharField(max_length=16, choices=Outcome, default=Outcome.PENDING, db_default=Outcome.PENDING)
    created_at = models.DateTimeField(db_default=Now())
    next_attempt_at = models.DateTimeField(db_default=Now())  # while an attempt is under way: when it counts as lost
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    response_status = models.PositiveSmallIntegerField(null=True)  # of the last attempt; null: there was no answer
    error = models.CharField(max_length=200, blank=True, default="", db_default="")
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "webhook_delivery"
        verbose_name_plural = "webhook deliveries"
        ordering = ["-id"]
        indexes = [
            # What is due of each webhook, the least tried first. Partial: what is finished costs it nothing.
            models.Index(
                fields=["webhook", "attempts", "next_attempt_at"], condition=Q(state="pending"), name="webhook_delivery_due"
            ),
            # What has waited for too long.
            models.Index(fields=["created_at"], condition=Q(state="pending"), name="webhook_delivery_old"),
            models.Index(fields=["webhook", "-id"], name="webhook_delivery_recent"),
            # The same pages of what was given up: few among many.
            models.Index(fields=["webhook", "-id"], condition=Q(state="failed"), name="webhook_delivery_failed"),
            models.Index(fields=["finished_at"], condition=Q(finished_at__isnull=False), name="webhook_delivery_age"),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.event_id}"
