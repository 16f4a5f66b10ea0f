"""A restaurant's settings as its manager fills them in."""

from datetime import time
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget

from sessions_app.admin.fields import LanguagesField, RegionField, SecondsField, TimeZoneField, WindowsField
from sessions_app.admin.restaurant_words import LABELS, hints
from sessions_app.models import Restaurant
from sessions_app.models.restaurants import windows_of
from sessions_app.policy.windows import Quiet, opening_hours


class RestaurantForm(forms.ModelForm):  # type: ignore[type-arg]
    time_zone = TimeZoneField()
    default_region = RegionField()
    pace_min_delay_ms = SecondsField()
    pace_max_delay_ms = SecondsField()
    cold_min_delay_ms = SecondsField()
    cold_max_delay_ms = SecondsField()
    send_windows = WindowsField()
    opt_out_languages = LanguagesField()

    class Meta:
        model = Restaurant
        fields = "__all__"
        widgets = {name: UnfoldAdminTextareaWidget(attrs={"rows": 3}) for name in ("opt_out_reply", "opt_in_reply")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        told, new = hints(), Restaurant()
        for name, field in self.fields.items():
            field.label, field.help_text = LABELS[name], told[name]
            if name in self.declared_fields:
                field.initial = getattr(new, name)  # fields made from the model's have it already

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        if not self.errors:
            self._check_hours(self.cleaned_data)
        return cleaned

    def _check_hours(self, cleaned: dict[str, Any]) -> None:
        quiet, windows = (cleaned["quiet_from"], cleaned["quiet_until"]), cleaned["send_windows"]
        if (quiet[0] is None) != (quiet[1] is None):
            missing = "quiet_from" if quiet[0] is None else "quiet_until"
            self.add_error(missing, "Quiet hours need both a start and an end.")
            return
        try:
            hours = _quiet(*quiet)
        except ValueError as error:
            self.add_error("quiet_until", _sentence(error))
            return
        try:
            opening_hours(ZoneInfo(cleaned["time_zone"]), quiet=hours, windows=None if windows is None else windows_of(windows))
        except ValueError as error:
            self.add_error("send_windows", _sentence(error))


def _quiet(start: time | None, end: time | None) -> Quiet | None:
    return None if start is None or end is None else Quiet(start, end)


def _sentence(error: ValueError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
