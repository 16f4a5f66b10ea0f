"""The admin's tenancy: every list, page, autocomplete, filter and action goes through `TenantAdmin`."""

import uuid
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from django.contrib import admin, messages
from django.db.models import ForeignKey, Model, QuerySet
from django.forms import ModelChoiceField
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from sessions_app.admin.grants import grants_of
from sessions_app.admin.unfolded import ChangeList, ModelAdmin
from sessions_app.errors import DomainError
from sessions_app.models import Restaurant
from sessions_app.policy.text import is_storable

M = TypeVar("M", bound=Model)


ONLY_SAVE = {"show_save_and_add_another": False, "show_save_and_continue": False}


class TenantChangeList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.full_result_count = self.result_count  # nothing was counted twice, so there is no other total to tell


class TenantAdmin(ModelAdmin[M]):
    """Shows a person the rows of their restaurants only. Lists and pages are read-only unless a subclass says otherwise;
    what changes something is a verb of its own (`verbs.py`) and asks `may_manage`.
    """

    restaurant_field = "restaurant_id"  # where a row names its restaurant
    show_full_result_count = False  # Django's second COUNT(*), over the whole table
    show_facets = admin.ShowFacets.NEVER  # a count for each choice of each filter, over the whole table again
    list_per_page = 50
    actions: Any = None
    list_disable_select_all = True
    list_filter_submit = True
    change_form_template = "sessions_app/admin/look.html"
    labels: Mapping[str, str] = {}  # of fields, where the model's own names are none for people

    def get_form(self, request: HttpRequest, obj: M | None = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **{"labels": self.labels, "help_texts": self.help_texts(), **kwargs})

    def help_texts(self) -> Mapping[str, str]:
        """Asked for with each page."""
        return {}

    def get_queryset(self, request: HttpRequest) -> QuerySet[M]:
        rows = super().get_queryset(request)
        grants = grants_of(request)
        return rows if grants.everything else rows.filter(**{f"{self.restaurant_field}__in": grants.readable})

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return TenantChangeList

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[M], search_term: str) -> tuple[QuerySet[M], bool]:
        """What PostgreSQL cannot hold is in none of its rows, and it takes no question about it either."""
        return self.found(request, queryset, search_term) if is_storable(search_term) else (queryset.none(), False)

    def found(self, request: HttpRequest, rows: QuerySet[M], term: str) -> tuple[QuerySet[M], bool]:
        """The rows a term means, and whether one may come twice."""
        return super().get_search_results(request, rows, term)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None) -> HttpResponse:
        try:
            return super().add_view(request, form_url, {**ONLY_SAVE, **(extra_context or {})})
        except DomainError as error:  # raised inside the view's transaction, so nothing was stored
            return self.refuse(request, error, back_to=request.get_full_path())

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        panel = self.panel(request, row) if row else {}
        try:
            return super().change_view(request, object_id, form_url, {**panel, **(extra_context or {})})
        except DomainError as error:
            return self.refuse(request, error, back_to=request.get_full_path())

    def panel(self, request: HttpRequest, row: M, /) -> dict[str, Any]:
        """What a row's page shows above its fields, for the page's template."""
        return {}

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """The filters name what may be asked. Django would let an address ask for any column, the digest of a key too."""
        filters: Any = self.list_filter
        return any(lookup in getattr(one, "parameter_names", (getattr(one, "parameter_name", None),)) for one in filters)

    def restaurant_of(self, obj: Model) -> uuid.UUID:
        return cast(uuid.UUID, getattr(obj, self.restaurant_field))

    def may_manage(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Whether this person may change this row; without a row, whether they may change any."""
        grants = grants_of(request)
        if obj is None:
            return grants.everything or bool(grants.manageable)
        return grants.may_change(self.restaurant_of(obj))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        grants = grants_of(request)
        if obj is None:
            return grants.everything or bool(grants.readable)
        return grants.may_view(self.restaurant_of(obj))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def formfield_for_foreignkey(
        self, db_field: "ForeignKey[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> "ModelChoiceField[Any] | None":
        """A restaurant is chosen among those the person manages: a foreign id in a forged form is no valid choice."""
        if db_field.remote_field.model is Restaurant:
            grants = grants_of(request)
            everyone = Restaurant.objects.filter(is_active=True)
            kwargs["queryset"] = everyone if grants.everything else everyone.filter(pk__in=grants.manageable)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def visible(self, request: HttpRequest, pk: uuid.UUID | str) -> M:
        """The row, if this person may see it. Another restaurant's row does not exist for them: 404, not 403."""
        obj = self.get_object(request, str(pk))
        if obj is None or not self.has_view_permission(request, obj):
            raise Http404
        return obj

    def change_url(self, obj: Model) -> str:
        return reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])

    def refuse(self, request: HttpRequest, error: DomainError, *, back_to: str) -> HttpResponse:
        messages.error(request, str(error))
        return HttpResponseRedirect(back_to)
