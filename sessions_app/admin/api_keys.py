"""API keys: made with a form, shown once, revoked for good."""

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from sessions_app.admin.filters import RestaurantFilter
from sessions_app.admin.markup import badge, moment, two_lines
from sessions_app.admin.verbs import Verb, VerbsAdmin
from sessions_app.admin.words import Badge
from sessions_app.models import ApiKey
from sessions_app.services import api_keys

VERBS: tuple[Verb[ApiKey], ...] = (
    Verb(
        slug="revoke",
        label="Revoke",
        icon="block",
        question="Revoke this key? Whoever uses it is refused from the next request on. This cannot be undone.",
        done="The key is revoked.",
        run=lambda key, _actor: api_keys.revoke(key=key),
        offered=lambda key: key.revoked_at is None,
        asks=True,
        danger=True,
    ),
)


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(
        choices=ApiKey.Scope.choices,
        initial=[ApiKey.Scope.MESSAGES_WRITE, ApiKey.Scope.MESSAGES_READ],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        label="May",
    )

    def clean_expires_at(self) -> Any:
        expires_at = self.cleaned_data["expires_at"]
        if expires_at and expires_at <= timezone.now():
            raise forms.ValidationError("This time has passed already.")
        return expires_at


@admin.register(ApiKey)
class ApiKeyAdmin(VerbsAdmin[ApiKey]):
    verbs = VERBS
    form = ApiKeyForm
    list_display = ("who", "restaurant", "state", "used", "expires", "made")
    list_filter = (RestaurantFilter,)
    list_select_related = ("restaurant",)
    search_fields = ("name", "prefix")
    search_help_text = "Name or the key's first characters"
    add_fieldsets = ((None, {"fields": ("restaurant", "name", "scopes", "expires_at")}),)
    fieldsets = (
        (None, {"fields": ("restaurant", ("name", "prefix"), "shown_scopes")}),
        ("Times", {"fields": (("created_at", "created_by"), ("last_used_at", "expires_at"), "revoked_at")}),
    )
    readonly_fields = ("shown_scopes", "created_at", "prefix")
    change_form_outer_before_template = "sessions_app/admin/api_key_panel.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.may_manage(request)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        made, plain = api_keys.issue(
            restaurant=obj.restaurant,
            name=obj.name,
            scopes=form.cleaned_data["scopes"],
            expires_at=obj.expires_at,
            created_by=cast(User, request.user),
        )
        obj.__dict__.update(made.__dict__)
        request.META["sessions_app.plain_key"] = plain

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """The one time the key is shown: in the answer itself, so that it is stored nowhere, neither session nor cookie."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": obj,
            "title": "The new API key",
            "key": obj,
            "secret": request.META.pop("sessions_app.plain_key"),
            "api_url": request.build_absolute_uri("/api/v1/messages"),
            "back": self.change_url(obj),
        }
        answer = TemplateResponse(request, "sessions_app/admin/api_key_made.html", context)
        answer["Cache-Control"] = "no-store"
        return answer

    def panel(self, request: HttpRequest, key: ApiKey, /) -> dict[str, Any]:
        return {"title": key.name, "buttons": self.buttons(request, key), "badge": self.state(key)}

    @admin.display(description="Key", ordering="name")
    def who(self, key: ApiKey) -> SafeString:
        return two_lines(key.name, f"{key.prefix}…")

    @admin.display(description="State")
    def state(self, key: ApiKey) -> SafeString:
        if key.revoked_at:
            return badge(Badge("Revoked", "bad"))
        if key.expires_at and key.expires_at <= timezone.now():
            return badge(Badge("Expired", "warn"))
        return badge(Badge("Valid", "good"))

    @admin.display(description="Last used", ordering="last_used_at")
    def used(self, key: ApiKey) -> SafeString | str:
        return moment(key.last_used_at)

    @admin.display(description="Expires", ordering="expires_at")
    def expires(self, key: ApiKey) -> str:
        return f"{key.expires_at:%-d %b %Y}" if key.expires_at else "never"

    @admin.display(description="Made", ordering="created_at")
    def made(self, key: ApiKey) -> SafeString | str:
        return moment(key.created_at)

    @admin.display(description="May")
    def shown_scopes(self, key: ApiKey) -> str:
        return ", ".join(ApiKey.Scope(scope).label for scope in key.scopes)
