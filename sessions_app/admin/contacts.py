"""Customers as a session knows them, and what they wrote: for looking only."""

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from sessions_app.admin.base import TenantAdmin
from sessions_app.admin.day_filter import DayFilter
from sessions_app.admin.filters import RestaurantFilter, SessionFilter
from sessions_app.admin.markup import link_to, moment, two_lines
from sessions_app.admin.paging import CappedPaginator
from sessions_app.admin.words import pretty_phone
from sessions_app.models import Contact, InboundMessage


@admin.register(Contact)
class ContactAdmin(TenantAdmin[Contact]):
    list_display = ("who", "at", "wrote", "was_written_to", "uses_whatsapp")
    list_filter = (SessionFilter, RestaurantFilter)
    list_select_related = ("session", "restaurant")
    paginator = CappedPaginator
    ordering = ("-id",)
    sortable_by = ()
    search_fields = ("phone__exact", "name__exact", "lid__exact")
    search_help_text = "Whole number (+49…) or whole name"
    fieldsets = (
        (None, {"fields": (("shown_phone", "name"), ("session", "restaurant"))}),
        ("WhatsApp", {"fields": (("on_whatsapp", "checked_at"), ("last_inbound_at", "last_outbound_at"), ("lid", "created_at"))}),
    )
    readonly_fields = ("shown_phone", "created_at")

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

    @admin.display(description="Number")
    def shown_phone(self, contact: Contact) -> str:
        return pretty_phone(contact.phone) if contact.phone else "–"


@admin.register(InboundMessage)
class InboundMessageAdmin(TenantAdmin[InboundMessage]):
    list_display = ("who", "shown_text", "at", "when")
    list_filter = (DayFilter, SessionFilter, RestaurantFilter)
    list_select_related = ("session", "restaurant", "contact")
    paginator = CappedPaginator
    ordering = ("-id",)
    sortable_by = ()
    fieldsets = (
        (None, {"fields": (("customer", "session"), "text", ("kind", "sent_at"))}),
        ("Technical", {"fields": (("chat", "sender"), ("wa_id", "created_at")), "classes": ("collapse",)}),
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
        return Truncator(inbound.text).chars(80) if inbound.text else f"({inbound.kind})"

    @admin.display(description="Session")
    def at(self, inbound: InboundMessage) -> SafeString:
        return two_lines(inbound.session.name, inbound.restaurant.name)

    @admin.display(description="Written")
    def when(self, inbound: InboundMessage) -> SafeString | str:
        return moment(inbound.sent_at)

    @admin.display(description="From")
    def customer(self, inbound: InboundMessage) -> SafeString | str:
        return link_to(inbound.contact)
