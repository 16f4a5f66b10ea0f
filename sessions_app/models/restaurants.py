from datetime import time
from typing import Any
from zoneinfo import available_timezones

import phonenumbers
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from sessions_app.models.base import UUIDModel


def validate_time_zone(value: str) -> None:
    if value not in available_timezones():
        raise ValidationError("%(value)s is not an IANA time zone such as Europe/Berlin", params={"value": value})


def validate_region(value: str) -> None:
    if value not in phonenumbers.SUPPORTED_REGIONS:
        raise ValidationError("%(value)s is not an ISO 3166 region such as DE", params={"value": value})


WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def windows_of(value: Any) -> dict[int, list[tuple[time, time]]]:
    """Weekday, 0 is Monday, to the intervals of that day. Raises ValueError for anything but {"mon": [["10:00", "22:00"]], …}."""
    if not isinstance(value, dict) or not value.keys() <= set(WEEKDAYS):
        raise ValueError("name weekdays: mon, tue, …")
    return {WEEKDAYS.index(day): [_interval(pair) for pair in pairs] for day, pairs in value.items()}


def _interval(pair: Any) -> tuple[time, time]:
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(at, str) for at in pair):
        raise ValueError('an interval is ["10:00", "22:00"]')
    return time.fromisoformat(pair[0]), time.fromisoformat(pair[1])


def validate_windows(value: Any) -> None:
    try:
        windows_of(value)
    except (ValueError, TypeError) as error:
        raise ValidationError("These send windows cannot be read: %(why)s", params={"why": error}) from error


class Restaurant(UUIDModel):
    """A tenant: everything else belongs to one, and nobody sees another's."""

    name = models.CharField(max_length=120)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    default_region = models.CharField(
        max_length=2, default="US", validators=[validate_region], help_text="For phone numbers written without +country code."
    )
    pace_min_delay_ms = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: the installation's default.")
    pace_max_delay_ms = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: the installation's default.")
    cold_min_delay_ms = models.PositiveIntegerField(null=True, blank=True, help_text="To strangers. Empty: the default.")
    cold_max_delay_ms = models.PositiveIntegerField(null=True, blank=True, help_text="To strangers. Empty: the default.")
    hourly_limit = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="Messages of one number in 60 minutes. Empty: none."
    )
    daily_limit = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="Messages of one number a day. Empty: none."
    )
    strangers_daily_limit = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="New chats with strangers a day, once the number is warmed up. Empty: the default.",
    )
    protect_strangers = models.BooleanField(
        default=True, db_default=True, help_text="Write to strangers slowly and to few of them a day. Off: as to everybody else."
    )
    quiet_from = models.TimeField(null=True, blank=True, help_text="Nothing is sent from then…")
    quiet_until = models.TimeField(null=True, blank=True, help_text="…until then, by the restaurant's clock.")
    urgent_through_quiet = models.BooleanField(
        default=False, db_default=False, help_text="Urgent messages go out in quiet hours as well."
    )
    send_windows = models.JSONField(
        null=True,
        blank=True,
        validators=[validate_windows],
        help_text='When it sends at all, by weekday: {"mon": [["10:00", "22:00"]], …}. Empty: at any time.',
    )
    recipient_gap_s = models.PositiveIntegerField(
        null=True, blank=True, help_text="Seconds between two messages to one customer. Empty: the default."
    )
    identical_limit = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="Strangers who may get one and the same text within an hour. Empty: the default.",
    )
    opt_out_languages = models.CharField(
        max_length=100, default="en", db_default="en", blank=True, help_text="Whose STOP and START words count: en,de,…"
    )
    opt_out_words = models.CharField(max_length=300, blank=True, db_default="", help_text="More words that mean STOP, by comma.")
    opt_in_words = models.CharField(max_length=300, blank=True, db_default="", help_text="More words that mean START, by comma.")
    opt_out_reply = models.CharField(
        max_length=1_000, blank=True, db_default="", help_text="Sent once to who opts out. Empty: the default sentence."
    )
    opt_in_reply = models.CharField(
        max_length=1_000, blank=True, db_default="", help_text="Sent once to who opts in again. Empty: the default sentence."
    )
    resend_uncertain = models.BooleanField(
        default=True, help_text="Resend a message without an answer, under the same WhatsApp id. Off: it waits for a person."
    )
    is_active = models.BooleanField(default=True)
    legacy_id = models.CharField(max_length=120, null=True, unique=True, editable=False)  # `source:id` of an imported one
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "restaurant"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="restaurant_pace_order",
                condition=models.Q(pace_min_delay_ms__isnull=True)
                | models.Q(pace_max_delay_ms__isnull=True)
                | models.Q(pace_max_delay_ms__gte=models.F("pace_min_delay_ms")),
                violation_error_message="The longest delay cannot be shorter than the shortest.",
            ),
            models.CheckConstraint(
                name="restaurant_cold_pace_order",
                condition=models.Q(cold_min_delay_ms__isnull=True)
                | models.Q(cold_max_delay_ms__isnull=True)
                | models.Q(cold_max_delay_ms__gte=models.F("cold_min_delay_ms")),
                violation_error_message="The longest delay to strangers cannot be shorter than the shortest.",
            ),
        ]

    def __str__(self) -> str:
        return self.name
