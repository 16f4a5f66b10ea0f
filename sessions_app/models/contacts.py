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
    name = models.CharField(max_length=120, blank=True)  # as the customer calls themself
    on_whatsapp = models.BooleanField(null=True)  # null: never asked
    checked_at = models.DateTimeField(null=True, blank=True)
    last_inbound_at = models.DateTimeField(null=True, blank=True)
    last_outbound_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "contact"
        constraints = [
            models.UniqueConstraint(fields=["session", "phone"], condition=~Q(phone=""), name="contact_phone_once"),
            models.UniqueConstraint(fields=["session", "lid"], condition=~Q(lid=""), name="contact_lid_once"),
            models.CheckConstraint(condition=~Q(phone="", lid=""), name="contact_has_an_address"),
        ]

    def __str__(self) -> str:
        return self.name or self.phone or self.lid


class InboundMessage(UUIDModel):
    """What a customer wrote. WhatsApp may bring it more than once; (session, chat, sender, id) is kept once."""

    restaurant = models.ForeignKey(Restaurant, on_delete=models.CASCADE, related_name="inbound_messages")
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="inbound_messages")
    contact = models.ForeignKey(Contact, null=True, on_delete=models.SET_NULL, related_name="inbound_messages")
    chat = models.CharField(max_length=80)
    sender = models.CharField(max_length=80)
    wa_id = models.CharField(max_length=64)
    kind = models.CharField(max_length=20)  # text, image, location, …
    text = models.TextField(blank=True)
    sent_at = models.DateTimeField()  # WhatsApp's time
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "inbound_message"
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["session", "-created_at"], name="inbound_recent"),
            models.Index(fields=["restaurant", "-id"], name="inbound_page"),  # keyset pages of the API
        ]
        constraints = [
            models.UniqueConstraint(fields=["session", "chat", "sender", "wa_id"], name="inbound_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} from {self.sender}"
