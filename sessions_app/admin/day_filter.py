"""Rows made on certain days, found through the primary key: a UUIDv7 begins with its time, so days are a range of ids."""

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib.admin import ListFilter
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.widgets import INPUT_CLASSES

from sessions_app.models.base import first_uuid7

FROM, UNTIL = "from", "until"


def _day_input() -> forms.DateInput:
    return forms.DateInput(attrs={"type": "date", "class": " ".join(INPUT_CLASSES)}, format="%Y-%m-%d")


class DaysForm(forms.Form):
    def __init__(self, data: dict[str, str]) -> None:
        super().__init__(data)
        self.fields[FROM] = forms.DateField(label="First day (UTC)", required=False, widget=_day_input())
        self.fields[UNTIL] = forms.DateField(label="Last day (UTC)", required=False, widget=_day_input())


class DayFilter(ListFilter):
    title = "day"
    template = "unfold/filters/filters_field.html"
    parameter_names = (FROM, UNTIL)

    def __init__(self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any) -> None:
        super().__init__(request, params, model, model_admin)
        given = {name: params.pop(name, None) for name in (FROM, UNTIL)}
        self._days: dict[str, str] = {name: value[-1] for name, value in given.items() if value}
        self.used_parameters.update(self._days)

    def expected_parameters(self) -> list[str | None]:
        return [FROM, UNTIL]

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: Any) -> Iterator[Any]:
        yield {"form": DaysForm(self._days)}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if first := _day(self._days.get(FROM)):
            queryset = queryset.filter(id__gte=first_id(first))
        if last := _day(self._days.get(UNTIL)):
            queryset = queryset.filter(id__lt=first_id(last + timedelta(days=1)))
        return queryset


def _day(text: str | None) -> date | None:
    """A day far outside any UUIDv7's range, or no day at all, filters nothing."""
    try:
        day = date.fromisoformat(text or "")
    except ValueError:
        return None
    return day if 1970 <= day.year < 9000 else None


def first_id(day: date) -> uuid.UUID:
    """The smallest UUIDv7 of that day."""
    return first_uuid7(datetime.combine(day, time(), UTC))
