"""People of the admin. Restaurants are granted by membership, so Django's groups and permissions are left out."""

from typing import TYPE_CHECKING

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from sessions_app.admin.grants import grants_of
from sessions_app.policy.text import is_storable

if TYPE_CHECKING:
    _Base = DjangoUserAdmin[User]
else:
    from unfold.admin import ModelAdmin

    class _Base(DjangoUserAdmin, ModelAdmin):
        pass


admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(_Base):
    """For superusers only: whoever can change users can become one."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_staff", "is_superuser", "last_login")
    list_filter = ()
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": (("first_name", "last_name"), "email")}),
        ("Access", {"fields": ("is_active", "is_staff", "is_superuser")}),
        ("Times", {"fields": (("last_login", "date_joined"),)}),
    )
    readonly_fields = ("last_login", "date_joined")

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[User], search_term: str) -> tuple[QuerySet[User], bool]:
        """As in `TenantAdmin`: what PostgreSQL cannot hold is in none of its rows."""
        if not is_storable(search_term):
            return queryset.none(), False
        return super().get_search_results(request, queryset, search_term)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return grants_of(request).everything

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return grants_of(request).everything

    def has_add_permission(self, request: HttpRequest) -> bool:
        return grants_of(request).everything

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return grants_of(request).everything

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return grants_of(request).everything
