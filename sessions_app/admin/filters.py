"""Filters that offer, and accept, only what the person may see."""

import uuid
from collections.abc import Sequence
from typing import Any

from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from sessions_app.admin.grants import grants_of
from sessions_app.admin.words import message_badge, session_badge
from sessions_app.models import Message, Restaurant, Session

CHOICES_SHOWN = 500


class RestaurantFilter(DropdownFilter):  # type: ignore[misc]
    title = "restaurant"
    parameter_name = "restaurant"
    path = "restaurant_id"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        grants = grants_of(request)
        rows = Restaurant.objects.all() if grants.everything else Restaurant.objects.filter(pk__in=grants.readable)
        return [(str(pk), name) for pk, name in rows.values_list("pk", "name")[:CHOICES_SHOWN]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        return by_id(queryset, self.path, self.value())


class SessionFilter(DropdownFilter):  # type: ignore[misc]
    title = "session"
    parameter_name = "session"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        grants = grants_of(request)
        rows = Session.objects.filter(deleted_at__isnull=True).select_related("restaurant").order_by("restaurant__name", "name")
        rows = rows if grants.everything else rows.filter(restaurant_id__in=grants.readable)
        return [(str(row.pk), f"{row.restaurant.name}: {row.name}") for row in rows[:CHOICES_SHOWN]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:
        return by_id(queryset, "session_id", self.value())


class SessionStateFilter(DropdownFilter):  # type: ignore[misc]
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, session_badge(state).text) for state in Session.State.values]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Session]) -> QuerySet[Session]:
        return by_choice(queryset, "state", self.value(), Session.State.values)


class MessageStatusFilter(DropdownFilter):  # type: ignore[misc]
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status, message_badge(status).text) for status in Message.Status.values]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Message]) -> QuerySet[Message]:
        return by_choice(queryset, "status", self.value(), Message.Status.values)


def by_choice(rows: QuerySet[Any], path: str, value: str | None, choices: Sequence[str]) -> QuerySet[Any]:
    if not value:
        return rows
    return rows.filter(**{path: value}) if value in choices else rows.none()


def by_id(rows: QuerySet[Any], path: str, value: str | None) -> QuerySet[Any]:
    """Filters within `rows`, which are the person's own already: another restaurant's id finds nothing."""
    if not value:
        return rows
    try:
        return rows.filter(**{path: uuid.UUID(value)})
    except ValueError:
        return rows.none()
