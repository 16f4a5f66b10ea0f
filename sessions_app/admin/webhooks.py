"""Webhooks: made with a form, their secret shown once, tried out with a button; and what they were told lately."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Min, Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from sessions_app.admin.base import ONLY_SAVE
from sessions_app.admin.filters import RestaurantFilter
from sessions_app.admin.markup import badge, badge_and_why, moment, two_lines
from sessions_app.admin.verbs import Verb, VerbsAdmin
from sessions_app.admin.words import Badge, span
from sessions_app.errors import DomainError
from sessions_app.models import Webhook, WebhookDelivery
from sessions_app.services import webhooks

SHOWN = 25  # deliveries

RENEW = Verb[Webhook](
    slug="renew-secret",
    label="New secret",
    icon="autorenew",
    question="Make a new secret? It is shown once, on the next page. For 24 hours calls are signed with those before as well.",
    done="The secret is a new one.",
    run=lambda webhook, _actor: webhooks.renew_secret(webhook=webhook),
    offered=lambda _: True,
    asks=True,
)
VERBS: tuple[Verb[Webhook], ...] = (
    Verb(
        slug="test",
        label="Send a test",
        icon="send",
        question="Send a test event?",
        done="A test is on its way. Reload this page in a moment to see what came of it.",
        run=lambda webhook, _actor: webhooks.try_out(webhook=webhook),
        offered=lambda webhook: webhook.is_active,
    ),
    Verb(
        slug="switch-on",
        label="Switch on",
        icon="play_arrow",
        question="Switch it on?",
        done="What had waited goes at once; what happened while it was off is not told.",
        run=lambda webhook, _actor: webhooks.change(webhook=webhook, is_active=True),
        offered=lambda webhook: not webhook.is_active,
    ),
    Verb(
        slug="switch-off",
        label="Switch off",
        icon="pause",
        question="Switch it off? What happens meanwhile is never told.",
        done="It is told nothing any more.",
        run=lambda webhook, _actor: webhooks.change(webhook=webhook, is_active=False),
        offered=lambda webhook: webhook.is_active,
        asks=True,
    ),
    RENEW,
    Verb(
        slug="delete",
        label="Delete",
        icon="delete",
        question="Delete this webhook, with all that it was to be told? This cannot be undone.",
        done="The webhook is deleted.",
        run=lambda webhook, _actor: webhooks.delete(webhook=webhook),
        offered=lambda _: True,
        asks=True,
        danger=True,
        leaves=True,
    ),
)


class WebhookForm(forms.ModelForm):  # type: ignore[type-arg]
    topics = forms.MultipleChoiceField(
        choices=[(topic, f"{topic}: {Webhook.Topic(topic).label}") for topic in webhooks.CHOOSABLE],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        label="Tell",
        help_text="None chosen: everything, also what later versions add.",
    )

    def clean_url(self) -> str:
        try:
            return webhooks.checked_url(self.cleaned_data["url"])
        except DomainError as error:
            raise forms.ValidationError(str(error)) from error


@admin.register(Webhook)
class WebhookAdmin(VerbsAdmin[Webhook]):
    verbs = VERBS
    form = WebhookForm
    labels = {"url": "Address"}
    list_display = ("where", "restaurant", "state", "chosen", "worked")
    list_filter = (RestaurantFilter,)
    list_select_related = ("restaurant",)
    search_fields = ("url",)
    search_help_text = "Address"
    fieldsets = ((None, {"fields": ("restaurant", "url", "topics")}),)
    change_form_template = "admin/change_form.html"
    change_form_outer_before_template = "sessions_app/admin/webhook_panel.html"
    change_form_outer_after_template = "sessions_app/admin/webhook_deliveries.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.may_manage(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may_manage(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Webhook | None = None) -> Any:
        return ("restaurant",) if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: Webhook | None = None) -> Any:
        looks = obj is not None and not self.may_manage(request, obj)
        return ((None, {"fields": ("restaurant", "url", "chosen")}),) if looks else super().get_fieldsets(request, obj)

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        values = {"url": form.cleaned_data["url"], "topics": form.cleaned_data["topics"]}
        if change:
            webhooks.change(webhook=obj, **values)
        else:
            obj.__dict__.update(webhooks.create(restaurant=obj.restaurant, **values).__dict__)

    def response_add(self, request: HttpRequest, obj: Webhook, post_url_continue: str | None = None) -> HttpResponse:
        return self.show_secret(request, obj, "The new webhook")

    def perform(self, request: HttpRequest, obj: Webhook, verb: Verb[Any]) -> HttpResponse:
        if verb is not RENEW:
            return super().perform(request, obj, verb)
        verb.run(obj, request.user.get_username())
        self.log_change(request, obj, verb.done)
        return self.show_secret(request, obj, "The new secret")

    def show_secret(self, request: HttpRequest, obj: Webhook, title: str) -> HttpResponse:
        """The one time it is shown: in the answer itself, so that no session and no cookie holds it."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": obj,
            "title": title,
            "webhook": obj,
            "secret": obj.secret,
            "back": self.change_url(obj),
        }
        answer = TemplateResponse(request, "sessions_app/admin/webhook_secret.html", context)
        answer["Cache-Control"] = "no-store"
        return answer

    def panel(self, request: HttpRequest, webhook: Webhook, /) -> dict[str, Any]:
        pending = WebhookDelivery.objects.filter(webhook=webhook, state=WebhookDelivery.Outcome.PENDING)
        due = pending.aggregate(at=Min("next_attempt_at"))["at"]
        return {
            **ONLY_SAVE,
            "title": webhook.url,
            "webhook": webhook,
            "buttons": self.buttons(request, webhook),
            "badge": badge(webhook_badge(webhook)),
            "waiting": pending.count(),
            "next_at": max(due, webhook.retry_at) if due and webhook.is_active else None,
            "deliveries": [_told(row) for row in webhook.deliveries.order_by("-id")[:SHOWN]],
        }

    @admin.display(description="Address", ordering="url")
    def where(self, webhook: Webhook) -> SafeString:
        return two_lines(webhook.url, f"since {webhook.created_at:%-d %b %Y}")

    @admin.display(description="State")
    def state(self, webhook: Webhook) -> SafeString:
        return badge_and_why(webhook_badge(webhook), webhook.inactive_reason or webhook.last_error)

    @admin.display(description="Told")
    def chosen(self, webhook: Webhook) -> str:
        return ", ".join(webhook.topics) or "everything"

    @admin.display(description="Last success", ordering="last_success_at")
    def worked(self, webhook: Webhook) -> SafeString | str:
        return moment(webhook.last_success_at)


def webhook_badge(webhook: Webhook) -> Badge:
    if not webhook.is_active:
        return Badge("Switched off", "bad" if webhook.inactive_reason else "calm", webhook.inactive_reason)
    if webhook.failing_since:
        since = span((timezone.now() - webhook.failing_since).total_seconds())
        return Badge("Failing", "bad", f"For {since}; it is tried again and again.")
    return Badge("Working", "good") if webhook.last_success_at else Badge("Not called yet", "calm")


_DELIVERIES = {
    WebhookDelivery.Outcome.PENDING: Badge("Waiting", "busy"),
    WebhookDelivery.Outcome.DELIVERED: Badge("Told", "good"),
    WebhookDelivery.Outcome.FAILED: Badge("Given up", "bad"),
}


def _told(row: WebhookDelivery) -> dict[str, Any]:
    shown = _DELIVERIES[WebhookDelivery.Outcome(row.state)]
    if row.state == WebhookDelivery.Outcome.PENDING and row.attempts:
        shown = Badge("Tried again later", "warn")
    return {"row": row, "badge": badge(shown)}
