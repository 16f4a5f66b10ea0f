"""Every message: a list that stays quick over millions of rows, and a page each with its timeline."""

import uuid
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from sessions_app.admin.day_filter import DayFilter
from sessions_app.admin.filters import MessageStatusFilter, RestaurantFilter, SessionFilter
from sessions_app.admin.grants import grants_of
from sessions_app.admin.markup import badge, link_to, moment, two_lines
from sessions_app.admin.paging import CappedPaginator
from sessions_app.admin.queries import CAP, ahead_of, usable_worker_exists
from sessions_app.admin.timeline import steps_of
from sessions_app.admin.verbs import Verb, VerbsAdmin
from sessions_app.admin.waiting import IN_TURN, Surroundings, reason_for_waiting
from sessions_app.admin.words import message_badge, pretty_phone
from sessions_app.errors import InvalidPhone
from sessions_app.models import Message, Restaurant
from sessions_app.services import estimates, messages, phones

WITHDRAWABLE = (Message.Status.SCHEDULED, Message.Status.QUEUED)

VERBS: tuple[Verb[Message], ...] = (
    Verb(
        slug="cancel",
        label="Cancel",
        icon="cancel",
        question="Withdraw this message before it is sent?",
        done="The message is canceled; it will not be sent.",
        run=lambda message, _actor: messages.cancel(message=message),
        offered=lambda message: message.status in WITHDRAWABLE,
        asks=True,
        danger=True,
    ),
)


@admin.register(Message)
class MessageAdmin(VerbsAdmin[Message]):
    verbs = VERBS
    list_display = ("to", "status_badge", "text", "number", "created", "changed")
    list_filter = (MessageStatusFilter, DayFilter, SessionFilter, RestaurantFilter)
    list_select_related = ("session", "restaurant")
    search_fields = ("to_phone",)  # shows the box; `get_search_results` does the search
    search_help_text = "Whole phone number, your reference, or message id"
    paginator = CappedPaginator
    change_form_outer_before_template = "sessions_app/admin/message_panel.html"
    fieldsets = (
        ("Message", {"fields": (("shown_to", "session_link"), ("reference", "priority", "lane"), "shown_body")}),
        (
            "Times",
            {"fields": (("created_at", "not_before"), ("expires_at", "sending_at"), ("sent_at", "delivered_at"), "read_at")},
        ),
        (
            "Technical",
            {"fields": (("wa_id", "address"), ("attempts", "delay_ms"), ("seq", "id")), "classes": ("collapse",)},
        ),
    )
    readonly_fields = ("shown_to", "session_link", "shown_body", "seq", "id", "created_at")

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Newest first along an index: by `seq` inside one session or restaurant, else by the primary key, which is
        time-ordered, too. Sorting everything by `seq` would read the whole table.
        """
        grants = grants_of(request)
        narrow = (
            request.GET.get("session") or request.GET.get("restaurant") or (not grants.everything and len(grants.readable) == 1)
        )
        return ("-seq",) if narrow else ("-id",)

    def get_sortable_by(self, request: HttpRequest) -> tuple[str, ...]:
        return ()  # no other order has an index

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Message], search_term: str
    ) -> tuple[QuerySet[Message], bool]:
        term = search_term.strip()
        return (queryset, False) if not term else (_found(queryset, term, self._regions(request)), False)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        message = self.get_object(request, object_id)
        panel = self._panel(request, message) if message else {}
        return super().change_view(request, object_id, form_url, {**panel, **(extra_context or {})})

    def _panel(self, request: HttpRequest, message: Message) -> dict[str, Any]:
        now = timezone.now()
        return {
            "title": f"Message to {pretty_phone(message.to_phone)}",
            "message_row": message,
            "badge": badge(message_badge(message.status)),
            "meaning": Message.Status(message.status).label,
            "reason": reason_for_waiting(message, message.session, _around(message), now),
            "buttons": self.buttons(request, message),
            "steps": steps_of(message),
        }

    def _regions(self, request: HttpRequest) -> list[str]:
        """How a number without its country code may be meant."""
        grants = grants_of(request)
        rows = Restaurant.objects.all() if grants.everything else Restaurant.objects.filter(pk__in=grants.readable)
        return list(rows.order_by("default_region").values_list("default_region", flat=True).distinct()[:20])

    @admin.display(description="To")
    def to(self, message: Message) -> SafeString:
        return two_lines(pretty_phone(message.to_phone), message.reference or "no reference")

    @admin.display(description="Status")
    def status_badge(self, message: Message) -> SafeString:
        return badge(message_badge(message.status))

    @admin.display(description="Text")
    def text(self, message: Message) -> str:
        return Truncator(message.body).chars(60)

    @admin.display(description="Session")
    def number(self, message: Message) -> SafeString:
        return two_lines(message.session.name, message.restaurant.name)

    @admin.display(description="Accepted")
    def created(self, message: Message) -> SafeString | str:
        return moment(message.created_at)

    @admin.display(description="Last change")
    def changed(self, message: Message) -> SafeString | str:
        return moment(message.status_at)

    @admin.display(description="To")
    def shown_to(self, message: Message) -> str:
        return pretty_phone(message.to_phone)

    @admin.display(description="Session")
    def session_link(self, message: Message) -> SafeString | str:
        return link_to(message.session)

    @admin.display(description="Text")
    def shown_body(self, message: Message) -> str:
        return message.body


def _around(message: Message) -> Surroundings:
    waits = message.status == Message.Status.QUEUED
    if not waits:
        return Surroundings(ahead=0, ahead_capped=False, worker_alive=True)
    ahead, why = ahead_of(message), estimates.for_messages(messages=[message])[message.pk]
    hold = None if why.reason in IN_TURN else why
    return Surroundings(ahead=min(ahead, CAP), ahead_capped=ahead > CAP, worker_alive=usable_worker_exists(), hold=hold)


def _found(rows: QuerySet[Message], term: str, regions: list[str]) -> QuerySet[Message]:
    """By id, by number or by reference, whichever the words look like; each has an index, and no LIKE is asked."""
    try:
        return rows.filter(pk=uuid.UUID(term))
    except ValueError:
        pass
    numbers = _numbers(term, regions)
    by_reference = rows.filter(reference=term)
    # The index of numbers begins with the restaurant, so each is asked; a scan over all messages is not.
    by_number = rows.filter(restaurant__in=Restaurant.objects.all(), to_phone__in=numbers)
    return rows.filter(pk__in=by_reference.values("pk").union(by_number.values("pk"))) if numbers else by_reference


def _numbers(term: str, regions: list[str]) -> list[str]:
    """The numbers these digits may mean: international, or as dialled in one of the regions."""
    return sorted({number for region in [None, *regions] if (number := _number(term, region))})


def _number(term: str, region: str | None) -> str:
    try:
        return phones.normalise(term if region or term.startswith("+") else f"+{term}", region or "ZZ")
    except InvalidPhone:
        return ""
