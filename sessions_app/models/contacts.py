from django.db import models
from django.db.models import Q

from sessions_app.models.base import UUIDModel
from sessions_app.models.restaurants import Restaurant
from sessions_app.models.sessions import Session


class Contact(UUIDModel):
    """A customer as one session knows them. WhatsApp may name them by phone number, by LID, or by both: neither is made
    up from the other."""

    restaurant = models.ForeignKey(Restaurant, on_delete=models.CASCADE, related_name="contacts")
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="contacts")
    phone = models.CharField(max_length=16, blank=True)  # E.164; empty while only the LID is known
    lid = models.CharField(max_length=40, blank=True)
    address = models.CharField(max_length=80, blank=True, default="", db_default="")  # whom the last send to `phone` reached
    name = models.CharField(max_length=120, blank=True)  # as the customer calls themself
    on_whatsapp = models.BooleanField(null=True)  # null: never asked
    checked_at = models.DateTimeField(null=True, blank=True)
    last_inbound_at = models.DateTimeField(null=True, blank=True)
    last_outbound_at = models.DateTimeField(null=True, blank=True)
    opted_out_at = models.DateTimeField(null=True, blank=True)  # wrote STOP: nothing is sent to them any more
    refusals = models.PositiveSmallIntegerField(default=0, db_default=0)  # by WhatsApp (463), since it last took a message
    parked_until = models.DateTimeField(null=True, blank=True)  # because of them
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "contact"
        constraints = [
            models.UniqueConstraint(fields=["session", "phone"], condition=~Q(phone=""), name="contact_phone_once"),
            models.UniqueConstraint(fields=["session", "lid"], condition=~Q(lid=""), name="contact_lid_once"),
            models.CheckConstraint(condition=~Q(phone="", lid=""), name="contact_has_an_address"),
        ]
        indexes = [models.Index(fields=["session", "address"], condition=~Q(address=""), name="contact_address")]

    def __str__(self) -> str:
        return self.name or self.phone or self.lid


class Consent(models.Model):
    """The proof of an opt-out or an opt-in: what was written, when. Appended, never changed, and kept with the number itself, so
    that it outlives a merged contact."""

    class Kind(models.TextChoices):
        STOP = "stop", "Opted out"
        START = "start", "Opted in again"

    restaurant = models.ForeignKey(Restaurant, on_delete=models.CASCADE, related_name="consents")
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="consents")
    contact = models.ForeignKey(Contact, null=True, on_delete=models.SET_NULL, related_name="consents", db_index=False)
    phone = models.CharField(max_length=16, blank=True)
    lid = models.CharField(max_length=40, blank=True)
    kind = models.CharField(max_length=8, choices=Kind)
    text = models.CharField(max_length=200)  # as it was written
    wa_id = models.CharField(max_length=64, blank=True)  # of the customer's message; empty: a person decided in the admin
    by = models.CharField(max_length=150, blank=True)
    at = models.DateTimeField()

    class Meta:
        db_table = "consent"
        ordering = ["-id"]
        indexes = [models.Index(fields=["contact", "-id"], name="consent_of_contact")]

    def __str__(self) -> str:
        return f"{self.kind} {self.at:%Y-%m-%d %H:%M:%S}"


class InboundMessage(UUIDModel):
    """What a customer wrote. WhatsApp may bring it more than once; (session, chat, sender, id) is kept once."""

    restaurant = models.ForeignKey(Restaurant, on_delete=models.CASCADE, related_name="inbound_messages", db_index=False)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="inbound_messages", db_index=False)
    contact = models.ForeignKey(Contact, null=True, on_delete=models.SET_NULL, related_name="inbound_messages")
    chat = models.CharField(max_length=80)
    sender = models.CharField(max_length=80)
    wa_id = models.CharField(max_length=64)
    kind = models.CharField(max_length=20)  # text, image, location, …
    text = models.TextField(blank=True)
    edits = models.UUIDField(null=True, blank=True)  # the message whose place it takes; it may be deleted before this one
    sent_at = models.DateTimeField()  # WhatsApp's time
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "inbound_message"
        ordering = ["-id"]
        indexes = [
            # Keyset pages of the API and the admin.
            models.Index(fields=["restaurant", "-id"], name="inbound_page"),
            models.Index(fields=["session", "-id"], name="inbound_page_of_session"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["session", "chat", "sender", "wa_id"], name="inbound_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} from {self.sender}"
