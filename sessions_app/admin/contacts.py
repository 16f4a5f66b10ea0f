"""Customers as a session knows them, and what they wrote: for looking only."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from sessions_app.admin import numbers
from sessions_app.admin.base import TenantAdmin
from sessions_app.admin.day_filter import DayFilter
from sessions_app.admin.filters import RestaurantFilter, SessionFilter
from sessions_app.admin.markup import link_to, moment, two_lines
from sessions_app.admin.paging import CappedPaginator
from sessions_app.admin.verbs import Verb, VerbsAdmin
from sessions_app.admin.words import pretty_phone
from sessions_app.models import Consent, Contact, InboundMessage
from sessions_app.services import optouts

CONSENTS_SHOWN = 50
LABELS = {
    "name": "Calls themself",
    "checked_at": "Looked up",
    "last_inbound_at": "Last wrote to us",
    "last_outbound_at": "Last written to",
    "lid": "WhatsApp's own id (LID)",
    "created_at": "Known since",
    "text": "Text",
    "kind": "Kind",
    "sent_at": "Written",
    "chat": "WhatsApp's id of the chat",
    "sender": "WhatsApp's id of the sender",
    "wa_id": "WhatsApp's id of it",
    "edits": "Takes the place of",
}
WHATSAPP = (("shown_on_whatsapp", "checked_at"), ("last_inbound_at", "last_outbound_at"), ("lid", "created_at"))

VERBS: tuple[Verb[Contact], ...] = (
    Verb(
        slug="opt-out",
        label="Opt out",
        icon="notifications_off",
        question="Has this customer asked for no more messages? What waits for them is not sent.",
        done="The customer gets no more messages.",
        run=lambda contact, actor: optouts.decide(contact=contact, kind=Consent.Kind.STOP, by=actor),
        offered=lambda contact: contact.opted_out_at is None,
        asks=True,
        danger=True,
    ),
    Verb(
        slug="opt-in",
        label="Opt in again",
        icon="notifications",
        question="Has this customer asked for messages again?",
        done="The customer gets messages again.",
        run=lambda contact, actor: optouts.decide(contact=contact, kind=Consent.Kind.START, by=actor),
        offered=lambda contact: contact.opted_out_at is not None,
        asks=True,
    ),
)


@admin.register(Contact)
class ContactAdmin(VerbsAdmin[Contact]):
    verbs = VERBS
    labels = LABELS
    change_form_outer_before_template = "sessions_app/admin/contact_panel.html"
    list_display = ("who", "at", "wrote", "was_written_to", "uses_whatsapp", "wants_messages")
    list_filter = (SessionFilter, RestaurantFilter)
    list_select_related = ("session", "restaurant")
    paginator = CappedPaginator
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("phone",)  # shows the box; `found` does the search
    search_help_text = "Whole phone number, whole name, or WhatsApp's own id"
    fieldsets = (
        (None, {"fields": (("shown_phone", "name"), ("session", "restaurant"))}),
        (
            "WhatsApp",
            {"fields": WHATSAPP},
        ),
    )
    readonly_fields = ("shown_phone", "shown_on_whatsapp", "created_at")

    def found(self, request: HttpRequest, rows: QuerySet[Contact], term: str) -> tuple[QuerySet[Contact], bool]:
        term = term.strip()
        named = Q(phone__in=numbers.meant(request, term)) | Q(name=term) | Q(lid__in=[term, f"{term}@lid"])
        return (rows.filter(named) if term else rows, False)

    def panel(self, request: HttpRequest, contact: Contact, /) -> dict[str, Any]:
        return {
            "contact": contact,
            "title": contact.name or "Contact",
            "buttons": self.buttons(request, contact),
            "parked": contact.parked_until is not None and contact.parked_until > timezone.now(),
            "consents": _consents(contact),
        }

    @admin.display(description="Wants messages", boolean=True)
    def wants_messages(self, contact: Contact) -> bool:
        return contact.opted_out_at is None

    @admin.display(description="Contact")
    def who(self, contact: Contact) -> SafeString:
        return two_lines(contact.name or "No name", pretty_phone(contact.phone) if contact.phone else "number not known")

    @admin.display(description="Session")
    def at(self, contact: Contact) -> SafeString:
        return two_lines(contact.session.name, contact.restaurant.name)

    @admin.display(description="Wrote to us")
    def wrote(self, contact: Contact) -> SafeString | str:
        return moment(contact.last_inbound_at)

    @admin.display(description="Was written to")
    def was_written_to(self, contact: Contact) -> SafeString | str:
        return moment(contact.last_outbound_at)

    @admin.display(description="On WhatsApp", boolean=True)
    def uses_whatsapp(self, contact: Contact) -> bool | None:
        return contact.on_whatsapp

    @admin.display(description="On WhatsApp")
    def shown_on_whatsapp(self, contact: Contact) -> str:
        return {True: "yes", False: "no", None: "not known yet"}[contact.on_whatsapp]

    @admin.display(description="Number")
    def shown_phone(self, contact: Contact) -> str:
        return pretty_phone(contact.phone) if contact.phone else "–"


def _consents(contact: Contact) -> list[Consent]:
    return list(contact.consents.order_by("-id")[:CONSENTS_SHOWN])


@admin.register(InboundMessage)
class InboundMessageAdmin(TenantAdmin[InboundMessage]):
    labels = LABELS
    list_display = ("who", "shown_text", "at", "when")
    list_filter = (DayFilter, SessionFilter, RestaurantFilter)
    list_select_related = ("session", "restaurant", "contact")
    paginator = CappedPaginator
    ordering = ("-id",)
    sortable_by = ()
    fieldsets = (
        (None, {"fields": (("customer", "session"), "text", ("kind", "sent_at"))}),
        ("Technical", {"fields": (("chat", "sender"), ("wa_id", "created_at"), "edits"), "classes": ("collapse",)}),
    )
    readonly_fields = ("customer", "created_at")

    @admin.display(description="From")
    def who(self, inbound: InboundMessage) -> SafeString:
        contact = inbound.contact
        if contact is None:
            return two_lines("Unknown", inbound.sender)
        return two_lines(contact.name or "No name", pretty_phone(contact.phone) if contact.phone else inbound.sender)

    @admin.display(description="Text")
    def shown_text(self, inbound: InboundMessage) -> str:
        text = Truncator(inbound.text).chars(80) if inbound.text else f"({inbound.kind})"
        return f"{text} (edited)" if inbound.edits else text

    @admin.display(description="Session")
    def at(self, inbound: InboundMessage) -> SafeString:
        return two_lines(inbound.session.name, inbound.restaurant.name)

    @admin.display(description="Written")
    def when(self, inbound: InboundMessage) -> SafeString | str:
        return moment(inbound.sent_at)

    @admin.display(description="From")
    def customer(self, inbound: InboundMessage) -> SafeString | str:
        return link_to(inbound.contact)
