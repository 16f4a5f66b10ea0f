"""Every message: a list that stays quick over millions of rows, and a page each with its timeline."""

import uuid
from datetime import datetime
from typing import Any, cast

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from sessions_app.admin import numbers
from sessions_app.admin.base import TenantChangeList
from sessions_app.admin.day_filter import DayFilter
from sessions_app.admin.filters import MessageStatusFilter, RestaurantFilter, SessionFilter
from sessions_app.admin.grants import grants_of
from sessions_app.admin.markup import badge, badge_and_why, link_to, moment, two_lines
from sessions_app.admin.paging import CappedPaginator
from sessions_app.admin.queries import CAP, ahead_of, usable_worker_exists
from sessions_app.admin.reasons import in_few_words
from sessions_app.admin.timeline import steps_of
from sessions_app.admin.unfolded import ChangeList
from sessions_app.admin.verbs import Verb, VerbsAdmin
from sessions_app.admin.waiting import IN_TURN, Surroundings, reason_for_waiting
from sessions_app.admin.words import exact, lane_in_words, message_badge, pretty_phone, span
from sessions_app.models import Message, Restaurant
from sessions_app.policy.reasons import Held, Reason
from sessions_app.services import estimates, lanes, messages

LABELS = {
    "reference": "Your reference",
    "created_at": "Accepted",
    "not_before": "Not before",
    "expires_at": "Expires",
    "sending_at": "Handed to WhatsApp",
    "sent_at": "Taken by WhatsApp",
    "delivered_at": "On the customer's phone",
    "read_at": "Read by the customer",
    "wa_id": "WhatsApp's id of it",
    "address": "WhatsApp's address of the customer",
    "attempts": "Hand-overs",
    "seq": "Number in order of acceptance",
    "id": "Message id",
}
MESSAGE = (("shown_to", "session_link"), ("reference", "priority"), ("shown_lane", "shown_pause"), "shown_body")

VERBS: tuple[Verb[Message], ...] = (
    Verb(
        slug="cancel",
        label="Cancel",
        icon="cancel",
        question="Withdraw this message before it is sent?",
        done="The message is canceled; it will not be sent.",
        run=lambda message, _actor: messages.cancel(message=message),
        offered=lambda message: message.status in Message.WAITING,
        asks=True,
        danger=True,
    ),
    Verb(
        slug="arrived",
        label="It arrived",
        icon="done",
        question="Does the customer have this message? It counts as sent then, and is not sent again.",
        done="The message counts as sent.",
        run=lambda message, actor: messages.confirm(message=message, by=actor),
        offered=lambda message: message.status == Message.Status.UNCERTAIN,
        asks=True,
    ),
    Verb(
        slug="send-again",
        label="Send again",
        icon="replay",
        question="Send it again? It goes under the same WhatsApp id: WhatsApp's apps show it once, also when it had arrived.",
        done="The message is queued again.",
        run=lambda message, actor: messages.send_again(message=message, by=actor),
        offered=lambda message: message.status == Message.Status.UNCERTAIN,
        asks=True,
    ),
)


NO_BREAK = "\u00a0"
# What they ended with is still true of them; of those that went on, `error_code` tells of an attempt long past.
ENDED_BADLY = (Message.Status.FAILED, Message.Status.EXPIRED, Message.Status.UNCERTAIN)


class MessageChangeList(TenantChangeList):
    """Looks up why those on the shown page wait."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        holds = estimates.for_messages(messages=rows)
        for row in rows:
            row.hold = holds.get(row.pk)
        self.result_list = cast("QuerySet[Message]", rows)


@admin.register(Message)
class MessageAdmin(VerbsAdmin[Message]):
    verbs = VERBS
    labels = LABELS
    list_display = ("to", "status_badge", "text", "number", "created", "changed")
    list_filter = (MessageStatusFilter, DayFilter, SessionFilter, RestaurantFilter)
    list_select_related = ("session", "restaurant")
    search_fields = ("to_phone",)  # shows the box; `found` does the search
    search_help_text = "Whole phone number, your reference, or message id"
    paginator = CappedPaginator
    change_form_outer_before_template = "sessions_app/admin/message_panel.html"
    fieldsets = (
        (
            "Message",
            {"fields": MESSAGE},
        ),
        (
            "Times",
            {"fields": (("created_at", "not_before"), ("expires_at", "sending_at"), ("sent_at", "delivered_at"), "read_at")},
        ),
        (
            "Technical",
            {"fields": (("wa_id", "address"), ("attempts", "seq"), "id"), "classes": ("collapse",)},
        ),
    )
    readonly_fields = ("shown_to", "session_link", "shown_lane", "shown_pause", "shown_body", "seq", "id", "created_at")

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Newest first along an index: by `seq` inside one session or restaurant, else by the primary key, which is
        time-ordered, too. Sorting everything by `seq` would read the whole table.
        """
        grants = grants_of(request)
        narrow = (
            request.GET.get("session") or request.GET.get("restaurant") or (not grants.everything and len(grants.readable) == 1)
        )
        return ("-seq",) if narrow else ("-id",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return MessageChangeList

    def get_sortable_by(self, request: HttpRequest) -> tuple[str, ...]:
        return ()  # no other order has an index

    def found(self, request: HttpRequest, rows: QuerySet[Message], term: str) -> tuple[QuerySet[Message], bool]:
        term = term.strip()
        return (rows, False) if not term else (_found(rows, term, numbers.meant(request, term)), False)

    def panel(self, request: HttpRequest, message: Message, /) -> dict[str, Any]:
        now = timezone.now()
        return {
            "title": f"Message to {pretty_phone(message.to_phone)}",
            "message_row": message,
            "badge": badge(message_badge(message.status)),
            "meaning": Message.Status(message.status).label,
            "problem": in_few_words(message.error_code) if message.status in ENDED_BADLY else "",
            "estimate": estimates.for_message(message=message) if message.status in Message.WAITING else None,
            "reason": reason_for_waiting(message, message.session, _around(message), now),
            "buttons": self.buttons(request, message),
            "steps": steps_of(message),
        }

    @admin.display(description="To")
    def to(self, message: Message) -> SafeString:
        return two_lines(pretty_phone(message.to_phone), message.reference or "no reference")

    @admin.display(description="Status")
    def status_badge(self, message: Any) -> SafeString:
        return badge_and_why(message_badge(message.status), *_why(message, timezone.now()))

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

    @admin.display(description="Goes")
    def shown_lane(self, message: Message) -> str:
        return lane_in_words(message.lane)

    @admin.display(description="Pause before it")
    def shown_pause(self, message: Message) -> str:
        return "–" if message.delay_ms is None else f"{message.delay_ms / 1_000:.1f} s"

    @admin.display(description="Text")
    def shown_body(self, message: Message) -> str:
        return message.body


def _why(message: Any, now: datetime) -> tuple[str, str]:
    """In a few words why it is where it is, and the same to the second; empty for what goes its way."""
    if message.status == Message.Status.SUPPRESSED:
        return in_few_words("opted_out"), ""
    if message.status in ENDED_BADLY:
        return in_few_words(message.error_code), message.error_detail
    hold = message.hold
    if hold is None or hold.reason in IN_TURN:
        return "", ""
    words = "" if hold.reason == Reason.SCHEDULED else in_few_words(hold.reason)
    if hold.until is None or hold.until <= now:
        return words, ""
    in_time = span((hold.until - now).total_seconds()).replace(" ", NO_BREAK)
    return f"{words} · {in_time}".removeprefix(" · "), f"until {exact(hold.until)} UTC"


def _around(message: Message) -> Surroundings:
    if message.status != Message.Status.QUEUED:
        opted_out = lanes.of_recipient(session=message.session, phone=message.to_phone).opted_out
        return Surroundings(ahead=0, ahead_capped=False, worker_alive=True, opted_out=opted_out)
    ahead, why = ahead_of(message), estimates.for_messages(messages=[message])[message.pk]
    ahead = max(ahead, 1) if why.reason == Reason.QUEUE else ahead
    hold = None if why.reason in IN_TURN else Held(why.reason, why.until or timezone.now())
    return Surroundings(ahead=min(ahead, CAP), ahead_capped=ahead > CAP, worker_alive=usable_worker_exists(), hold=hold)


def _found(rows: QuerySet[Message], term: str, phones: list[str]) -> QuerySet[Message]:
    """By id, by number or by reference, whichever the words look like; each has an index, and no LIKE is asked."""
    try:
        return rows.filter(pk=uuid.UUID(term))
    except ValueError:
        pass
    by_reference = rows.filter(reference=term)
    # The index of numbers begins with the restaurant, so each is asked; a scan over all messages is not.
    by_number = rows.filter(restaurant__in=Restaurant.objects.all(), to_phone__in=phones)
    return rows.filter(pk__in=by_reference.values("pk").union(by_number.values("pk"))) if phones else by_reference
