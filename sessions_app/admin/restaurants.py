from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import Count, Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from sessions_app.admin.base import TenantAdmin
from sessions_app.admin.grants import grants_of
from sessions_app.admin.markup import badge, two_lines
from sessions_app.admin.restaurant_form import RestaurantForm
from sessions_app.admin.restaurant_look import TO_FILL_IN, TO_LOOK_AT, Looked
from sessions_app.admin.restaurant_words import LABELS, hints
from sessions_app.admin.unfolded import TabularInline
from sessions_app.admin.words import Badge
from sessions_app.models import Membership, Restaurant, Session
from sessions_app.services import lanes

ONLY_FOR_SUPERUSERS = ("is_active",)
RULES_FOR_WHAT_WAITS = {"protect_strangers", "identical_limit"}


class MembershipInline(TabularInline[Membership, Restaurant]):
    """Who belongs to the restaurant. Only superusers choose: the list of people would tell one tenant of another's."""

    model = Membership
    extra = 0
    fields = ("user", "role")
    autocomplete_fields = ("user",)
    verbose_name_plural = "members"

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        grants = grants_of(request)
        return grants.everything or (obj is not None and grants.may_view(obj.pk))

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return grants_of(request).everything

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return grants_of(request).everything

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return grants_of(request).everything


@admin.register(Restaurant)
class RestaurantAdmin(Looked, TenantAdmin[Restaurant]):
    restaurant_field = "pk"
    change_form_template = "admin/change_form.html"
    list_display = ("who", "numbers", "active")
    search_fields = ("name",)
    search_help_text = "Name"
    inlines = (MembershipInline,)
    form = RestaurantForm
    labels = LABELS
    fieldsets = TO_FILL_IN

    def get_queryset(self, request: HttpRequest) -> QuerySet[Restaurant]:
        kept = Q(sessions__deleted_at__isnull=True)
        connected = kept & Q(sessions__state=Session.State.CONNECTED)
        rows = super().get_queryset(request)
        return rows.annotate(number_count=Count("sessions", filter=kept), connected_count=Count("sessions", filter=connected))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return grants_of(request).everything

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may_manage(request, obj)

    def get_fieldsets(self, request: HttpRequest, obj: Restaurant | None = None) -> Any:
        looks = obj is not None and not self.may_manage(request, obj)
        return TO_LOOK_AT if looks else TO_FILL_IN

    def help_texts(self) -> Mapping[str, str]:
        return hints()

    def get_readonly_fields(self, request: HttpRequest, obj: Restaurant | None = None) -> Any:
        return () if grants_of(request).everything else ONLY_FOR_SUPERUSERS

    def save_model(self, request: HttpRequest, obj: Restaurant, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and RULES_FOR_WHAT_WAITS & set(form.changed_data):
            transaction.on_commit(lambda: lanes.rules_have_changed(restaurant=obj), robust=True)

    @admin.display(description="Restaurant", ordering="name")
    def who(self, restaurant: Restaurant) -> SafeString:
        return two_lines(restaurant.name, f"{restaurant.time_zone}, {restaurant.default_region}")

    @admin.display(description="Numbers connected", ordering="connected_count")
    def numbers(self, restaurant: Any) -> str:
        return f"{restaurant.connected_count} of {restaurant.number_count}"

    @admin.display(description="State", ordering="is_active")
    def active(self, restaurant: Restaurant) -> SafeString:
        return badge(Badge("Active", "good") if restaurant.is_active else Badge("Switched off", "calm"))
