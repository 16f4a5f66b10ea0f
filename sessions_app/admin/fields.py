"""Form fields that show a stored value as people say it, and store it unchanged."""

from decimal import Decimal
from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones

import phonenumbers
from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelect2Widget,
    UnfoldAdminTextareaWidget,
)

from sessions_app.admin import week
from sessions_app.admin.restaurant_words import LANGUAGES

MOST_SECONDS = 86_400
_SECOND = 1_000  # milliseconds


class SecondsField(forms.DecimalField):
    """Seconds for people, whole milliseconds in the database."""

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminDecimalFieldWidget(attrs={"step": "any", "inputmode": "decimal"})
        limits: dict[str, Any] = {"min_value": 0, "max_value": MOST_SECONDS, "decimal_places": 3}
        super().__init__(**{"required": False, "widget": widget, **limits, **options})

    def prepare_value(self, value: Any) -> Any:
        return _seconds(value) if isinstance(value, int) else value

    def clean(self, value: Any) -> Any:
        seconds = super().clean(value)
        return None if seconds is None else int(seconds * _SECOND)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(None if initial is None else _seconds(initial), data)


def _seconds(milliseconds: int) -> Decimal:
    return Decimal(milliseconds) / _SECOND


class WindowsField(forms.CharField):
    """One line a weekday for people, the column's JSON in the database; see `week.py`."""

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminTextareaWidget(attrs={"rows": 7, "placeholder": week.EXAMPLE, "spellcheck": "false"})
        super().__init__(**{"required": False, "widget": widget, **options})

    def prepare_value(self, value: Any) -> Any:
        return value if isinstance(value, str) else week.to_text(value)

    def clean(self, value: Any) -> Any:
        try:
            return week.from_text(super().clean(value))
        except ValueError as error:
            raise forms.ValidationError(str(error), code="invalid") from error

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return not week.same(initial, week.from_text(data or ""))
        except ValueError:
            return True


class LanguagesField(forms.MultipleChoiceField):
    """Check boxes for people, codes by comma in the database. "pt-BR" counts as "pt", as it does for the words themselves."""

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminCheckboxSelectMultipleWidget()
        super().__init__(**{"required": False, "widget": widget, "choices": tuple(LANGUAGES.items()), **options})

    def prepare_value(self, value: Any) -> Any:
        return codes(value) if isinstance(value, str) else value

    def clean(self, value: Any) -> Any:
        chosen = super().clean(value)
        return ",".join(code for code in LANGUAGES if code in chosen)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(codes(initial or ""), data)


def codes(stored: str) -> list[str]:
    named = {code.strip().lower().partition("-")[0] for code in stored.split(",")}
    return [code for code in LANGUAGES if code in named]


class TimeZoneField(forms.ChoiceField):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{"choices": _zones, "widget": UnfoldAdminSelect2Widget(), **options})


class RegionField(forms.ChoiceField):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{"choices": _regions, "widget": UnfoldAdminSelect2Widget(), **options})


@lru_cache(maxsize=1)
def _zones() -> list[tuple[str, str]]:
    return [(name, name.replace("_", " ")) for name in sorted(available_timezones())]


@lru_cache(maxsize=1)
def _regions() -> list[tuple[str, str]]:
    codes = sorted(phonenumbers.SUPPORTED_REGIONS)
    return [(code, f"{code} (+{phonenumbers.country_code_for_region(code)})") for code in codes]
