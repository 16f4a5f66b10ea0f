from django.db import models
from django.db.models import Q

from sessions_app.models.base import UUIDModel
from sessions_app.models.restaurants import Restaurant
from sessions_app.models.sessions import Session

MAX_BODY_CHARACTERS = 4_000
HANDED_OVER_OR_ENDED = ["canceled", "delivered", "expired", "failed", "read", "sent", "suppressed"]


class NextMessageSeq(models.Func):
    """The order of acceptance, drawn by the database at insert: clocks of several web processes may differ."""

    function = "nextval"
    template = "nextval('message_seq')"
    output_field = models.BigIntegerField()


class Message(UUIDModel):
    """One message to one customer, from acceptance to the last receipt."""

    class Status(models.TextChoices):
        SCHEDULED = "scheduled", "Waits for its time"
        QUEUED = "queued", "Waits for its turn"
        SENDING = "sending", "Its owner is handing it to WhatsApp"
        UNCERTAIN = "uncertain", "Handed over without an answer; settled by a receipt or by sending it again under the same id"
        SENT = "sent", "WhatsApp's server has it"
        DELIVERED = "delivered", "The customer's phone has it"
        READ = "read", "The customer has read it"
        FAILED = "failed", "It cannot be sent"
        CANCELED = "canceled", "Withdrawn before it was sent"
        EXPIRED = "expired", "Too old to be sent"
        SUPPRESSED = "suppressed", "Not sent: the customer has opted out"

    WAITING = (Status.SCHEDULED, Status.QUEUED)

    class Priority(models.IntegerChoices):
        URGENT = 0, "urgent"
        HIGH = 1, "high"
        NORMAL = 2, "normal"
        LOW = 3, "low"

    class Lane(models.IntegerChoices):
        """Which messages of a session share a pace, limits and WhatsApp's restrictions."""

        WARM = 0, "warm"  # to somebody who has written to us
        COLD = 1, "cold"  # to a stranger we have written to before
        NEW = 2, "new"  # to a stranger, and the first one: it opens a chat, and counts for the warm-up

    restaurant = models.ForeignKey(Restaurant, on_delete=models.CASCADE, related_name="messages", db_index=False)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="messages", db_index=False)
    seq = models.BigIntegerField(db_default=NextMessageSeq(), editable=False)
    to_phone = models.CharField(max_length=16)  # E.164
    body = models.TextField()
    priority = models.PositiveSmallIntegerField(choices=Priority, default=Priority.NORMAL)
    lane = models.PositiveSmallIntegerField(choices=Lane, default=Lane.WARM, db_default=0)
    exempt = models.BooleanField(default=False, db_default=False)  # the answer to an opt-out: the last that goes there
    reference = models.CharField(max_length=120, blank=True)  # the caller's own, e.g. an order number
    created_at = models.DateTimeField(auto_now_add=True)
    not_before = models.DateTimeField()  # equal to created_at unless it is scheduled or tried again later
    expires_at = models.DateTimeField(null=True, blank=True)

    status = models.CharField(max_length=16, choices=Status, default=Status.QUEUED)
    status_at = models.DateTimeField()
    held = models.BooleanField(default=False, db_default=False)  # out of its lane's line until `not_before`: `services.holds`
    hold_reason = models.CharField(max_length=40, blank=True)
    hold_until = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=40, blank=True)
    error_detail = models.CharField(max_length=300, blank=True)

    # The WhatsApp message id is drawn when the message is accepted and never changes: a resend carries it again.
    wa_id = models.CharField(max_length=64)
    address = models.CharField(max_length=80, blank=True)  # WhatsApp's address of the customer, fixed by the first attempt
    attempts = models.PositiveSmallIntegerField(default=0)  # hand-overs, whatever came of them
    tries = models.JSONField(default=dict, db_default={})  # how often each code came of them: each counts its own kind alone
    claimed_term = models.BigIntegerField(null=True, blank=True)  # the session's term under which it was handed over
    sending_at = models.DateTimeField(null=True, blank=True)  # first hand-over
    delay_ms = models.PositiveIntegerField(null=True, blank=True)  # the pause that was applied before it
    sent_at = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "message"
        ordering = ["-seq"]
        indexes = [
            # The claim: the first ready message of each lane, past none of those that are held. Partial, so that finished
            # messages cost it nothing.
            models.Index(
                fields=["session", "held", "lane", "priority", "seq"], condition=Q(status="queued"), name="message_line"
            ),
            # What is held for longest no more.
            models.Index(fields=["session", "not_before"], condition=Q(status="queued", held=True), name="message_held"),
            # Messages to strangers of the last hour: few, for the guard against one text to many.
            models.Index(fields=["session", "sent_at"], condition=Q(lane__gt=0, sent_at__isnull=False), name="message_strangers"),
            # What a new owner settles first: handed over, not answered.
            models.Index(fields=["session", "seq"], condition=Q(status__in=["sending", "uncertain"]), name="message_unsettled"),
            # Sweeps by time: scheduled messages that have come due, waiting ones that have expired.
            models.Index(fields=["not_before"], condition=Q(status__in=["scheduled", "queued"]), name="message_due"),
            # The first of these without the whole backlog of what is due.
            models.Index(fields=["not_before"], condition=Q(status="scheduled"), name="message_scheduled"),
            models.Index(
                fields=["expires_at"],
                condition=Q(status__in=["scheduled", "queued"], expires_at__isnull=False),
                name="message_expiry",
            ),
            # Keyset pages of the API and the admin, newest first.
            models.Index(fields=["restaurant", "-seq"], name="message_recent"),
            models.Index(fields=["session", "-seq"], name="message_session_recent"),
            models.Index(fields=["restaurant", "to_phone", "-seq"], name="message_to"),
            # The same pages of one status, which may be few among many. What waits has indexes of its own.
            models.Index(
                fields=["restaurant", "status", "-seq"],
                condition=Q(status__in=HANDED_OVER_OR_ENDED),
                name="message_page_of_status",
            ),
            # Searching by the caller's own reference; most have one, those without cost nothing.
            models.Index(fields=["reference"], condition=~Q(reference=""), name="message_reference"),
        ]
        constraints = [models.UniqueConstraint(fields=["session", "wa_id"], name="message_wa_id_once")]

    def __str__(self) -> str:
        return f"To {self.to_phone}"

    @property
    def is_another_numbers(self) -> bool:
        """Whether the number that handed it over is not linked here any more: sent by this one it would be another message."""
        since = self.session.history_since
        return self.sending_at is not None and since is not None and self.sending_at < since


class MessageEvent(models.Model):
    """The timeline of a message: one row for every change, appended, never changed."""

    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="events", db_index=False)
    at = models.DateTimeField()
    status = models.CharField(max_length=16, choices=Message.Status)
    detail = models.JSONField(default=dict)

    class Meta:
        db_table = "message_event"
        ordering = ["id"]
        indexes = [models.Index(fields=["message", "id"], name="message_event_timeline")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.status}"


class IdempotencyRecord(models.Model):
    """Which message an Idempotency-Key made, and of which request, so that a retry is answered and not repeated."""

    restaurant = models.ForeignKey(Restaurant, on_delete=models.CASCADE, related_name="+", db_index=False)
    key = models.CharField(max_length=255)
    fingerprint = models.BinaryField(max_length=32)  # SHA-256 of the request in canonical form
    message = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        db_table = "idempotency_record"
        constraints = [models.UniqueConstraint(fields=["restaurant", "key"], name="idempotency_key_once")]

    def __str__(self) -> str:
        return self.key
