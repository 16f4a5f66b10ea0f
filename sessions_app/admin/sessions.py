"""The numbers of the restaurants: a list that tells their state, a page each, and what can be done with them."""

from typing import Any, cast

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Greatest
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern
from django.utils import timezone
from django.utils.safestring import SafeString

from sessions_app.admin import link, trial_send
from sessions_app.admin.base import TenantChangeList
from sessions_app.admin.filters import RestaurantFilter, SessionStateFilter
from sessions_app.admin.happenings import happening
from sessions_app.admin.limits import limits_of
from sessions_app.admin.markup import badge, moment, two_lines
from sessions_app.admin.queries import alive_ids, capped, usable_worker_exists, waiting_counts
from sessions_app.admin.restricted import notices
from sessions_app.admin.unfolded import ChangeList
from sessions_app.admin.verbs import Verb, VerbsAdmin
from sessions_app.admin.words import pretty_phone, session_badge, session_sentence
from sessions_app.models import Session
from sessions_app.policy.warmup import RAMP
from sessions_app.services import sessions, standing

EVENTS_SHOWN = 100

LABELS = {
    "push_name": "Its name on WhatsApp",
    "linked_at": "Linked since",
    "connected_at": "Last connected",
    "last_sent_at": "Last sent",
    "next_send_at": "Next one not before",
    "retry_at": "Next attempt to connect",
    "state_reason": "Reason (code)",
    "failures": "Failed attempts in a row",
    "crashes": "Crashes in a row",
    "bridge_deaths": "Deaths of its bridge",
    "owner": "Worker",
    "term": "Term",
    "id": "Session id",
}

VERBS: tuple[Verb[Session], ...] = (
    Verb(
        slug="restart",
        label="Restart",
        icon="restart_alt",
        question="Close the connection to WhatsApp and open it again? The link stays, and so does the queue.",
        done="The session restarts.",
        run=lambda session, actor: sessions.restart(session=session, actor=actor),
        offered=lambda session: session.linked_at is not None and session.desired == Session.Desired.ONLINE,
    ),
    Verb(
        slug="stop",
        label="Keep offline",
        icon="pause_circle",
        question="Keep this number offline? The link stays; messages wait in the queue until it is started again.",
        done="The session goes offline. Its messages wait.",
        run=lambda session, actor: sessions.stop(session=session, actor=actor),
        offered=lambda session: session.linked_at is not None and session.desired == Session.Desired.ONLINE,
    ),
    Verb(
        slug="start",
        label="Start again",
        icon="play_circle",
        question="Connect this number again?",
        done="The session connects.",
        run=lambda session, actor: sessions.start(session=session, actor=actor),
        offered=lambda session: session.desired == Session.Desired.OFFLINE,
    ),
    Verb(
        slug="skip-warm-up",
        label="Skip the warm-up",
        icon="local_fire_department",
        question=(
            "Has this number been used on WhatsApp for weeks, with people who write to it? Then it may write to as many strangers"
            " a day as a number that has been here for a while. A new number that does so is likely to be banned."
        ),
        done="The number counts as warmed up from today on.",
        run=lambda session, actor: sessions.declare_age(session=session, good_days=len(RAMP), actor=actor),
        offered=lambda session: session.linked_at is not None and session.restaurant.protect_strangers,
        asks=True,
    ),
    Verb(
        slug="log-out",
        label="Log out",
        icon="logout",
        question="Remove this device from WhatsApp? The queue is kept, but sending needs a new QR code afterwards.",
        done="WhatsApp is being told to remove this device.",
        run=lambda session, actor: sessions.log_out(session=session, actor=actor),
        offered=lambda session: session.linked_at is not None,
        asks=True,
        danger=True,
    ),
    Verb(
        slug="delete",
        label="Delete",
        icon="delete",
        question="Log this number out and delete the session? Waiting messages are canceled; what was sent stays in the history.",
        done="The session is deleted.",
        run=lambda session, actor: sessions.delete(session=session, actor=actor),
        offered=lambda session: True,
        asks=True,
        danger=True,
        leaves=True,
    ),
)


class SessionChangeList(TenantChangeList):
    """Looks up what only the shown page needs: queue lengths and whether the owners live."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)
        waiting = waiting_counts([row.pk for row in rows])
        alive = alive_ids([row.owner_id for row in rows if row.owner_id])
        for row in rows:
            row.waiting = waiting.get(row.pk, 0)
            row.owner_alive = row.owner_id in alive
        self.result_list = cast("QuerySet[Session]", rows)


@admin.register(Session)
class SessionAdmin(VerbsAdmin[Session]):
    verbs = VERBS
    list_display = ("who", "state_badge", "number", "queue", "last_activity", "worker")
    list_filter = (SessionStateFilter, RestaurantFilter)
    search_fields = ("name", "phone", "restaurant__name")
    search_help_text = "Name, number or restaurant"
    list_select_related = ("restaurant", "owner")
    ordering = ("restaurant__name", "name")
    autocomplete_fields = ()
    labels = LABELS
    change_form_outer_before_template = "sessions_app/admin/session_before.html"
    change_form_outer_after_template = "sessions_app/admin/session_log.html"
    add_fieldsets = ((None, {"fields": ("restaurant", "name")}),)
    fieldsets = (
        ("WhatsApp", {"fields": (("shown_phone", "push_name"), ("linked_at", "connected_at"))}),
        ("Pace", {"fields": (("last_sent_at", "next_send_at"),)}),
        (
            "Technical",
            {
                "fields": (("owner", "term"), ("state_reason", "failures"), ("crashes", "bridge_deaths"), ("retry_at", "id")),
                "classes": ("collapse",),
            },
        ),
    )
    readonly_fields = ("shown_phone", "id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Session]:
        shown = super().get_queryset(request).filter(deleted_at__isnull=True)
        return shown.annotate(active_at=Greatest("state_changed_at", "last_sent_at"))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return SessionChangeList

    def get_urls(self) -> list[URLPattern]:
        return [*link.urls(self), *trial_send.urls(self), *super().get_urls()]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.may_manage(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Session | None = None) -> Any:
        return self.readonly_fields if obj else ()

    def save_model(self, request: HttpRequest, obj: Session, form: Any, change: bool) -> None:
        made = sessions.create(restaurant=obj.restaurant, name=obj.name, actor=request.user.get_username())
        obj.__dict__.update(made.__dict__)

    def response_add(self, request: HttpRequest, obj: Session, post_url_continue: str | None = None) -> HttpResponse:
        """A new session is of no use before it is linked: go on there."""
        return link.redirect_to(obj)

    def panel(self, request: HttpRequest, session: Session, /) -> dict[str, Any]:
        now = timezone.now()
        return {
            "session": session,
            "title": session.name,
            "badge": badge(session_badge(session.state, session.state_reason)),
            "sentence": session_sentence(session),
            "waiting": capped(waiting_counts([session.pk])[session.pk]),
            "now": now,
            "worker_alive": usable_worker_exists(),
            "needs_link": session.linked_at is None,
            "manages": self.may_manage(request, session),
            "buttons": self.buttons(request, session),
            "limits": limits_of(session),
            "notices": notices(standing.read(session.standing).known, now) if session.linked_at else [],
            "happenings": [happening(event) for event in session.events.all()[:EVENTS_SHOWN]],
            "events_shown": EVENTS_SHOWN,
        }

    @admin.display(description="Session", ordering="name")
    def who(self, session: Session) -> SafeString:
        return two_lines(session.name, session.restaurant.name)

    @admin.display(description="State", ordering="state")
    def state_badge(self, session: Session) -> SafeString:
        return badge(session_badge(session.state, session.state_reason))

    @admin.display(description="Number", ordering="phone")
    def number(self, session: Session) -> str:
        return pretty_phone(session.phone) if session.phone else "–"

    @admin.display(description="Number")
    def shown_phone(self, session: Session) -> str:
        return self.number(session)

    @admin.display(description="Waiting")
    def queue(self, session: Any) -> str:
        return capped(session.waiting)

    @admin.display(description="Last activity", ordering="active_at")
    def last_activity(self, session: Any) -> SafeString | str:
        return moment(session.active_at)

    @admin.display(description="Worker")
    def worker(self, session: Any) -> str:
        if session.owner is None:
            return "–"
        return session.owner.name if session.owner_alive else f"{session.owner.name} (gone)"
