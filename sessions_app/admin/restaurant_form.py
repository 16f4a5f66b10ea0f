"""A restaurant's settings as its manager fills them in."""

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
        try:
            quiet = self._quiet()
        except ValueError as error:
            self.add_error("quiet_until", _sentence(error))
            return cleaned
        if not {"time_zone", "send_windows"} & self.errors.keys():
            self._check_hours(quiet)
        return cleaned

    def _quiet(self) -> Quiet | None:
        start, end = self.cleaned_data.get("quiet_from"), self.cleaned_data.get("quiet_until")
        if start is not None and end is not None:
            return Quiet(start, end)
        if (start, end) != (None, None) and not {"quiet_from", "quiet_until"} & self.errors.keys():
            raise ValueError("quiet hours need both a start and an end")
        return None

    def _check_hours(self, quiet: Quiet | None) -> None:
        """Those that leave no time to send would be saved, and then count as none."""
        zone, windows = ZoneInfo(self.cleaned_data["time_zone"]), self.cleaned_data["send_windows"]
        try:
            opening_hours(zone, quiet=quiet, windows=None if windows is None else windows_of(windows))
        except ValueError as error:
            self.add_error("send_windows", _sentence(error))


def _sentence(error: ValueError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
