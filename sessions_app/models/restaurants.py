from zoneinfo import available_timezones

import phonenumbers
from django.core.exceptions import ValidationError
from django.db import models

from sessions_app.models.base import UUIDModel


def validate_time_zone(value: str) -> None:
    if value not in available_timezones():
        raise ValidationError("%(value)s is not an IANA time zone such as Europe/Berlin", params={"value": value})


def validate_region(value: str) -> None:
    if value not in phonenumbers.SUPPORTED_REGIONS:
        raise ValidationError("%(value)s is not an ISO 3166 region such as DE", params={"value": value})


class Restaurant(UUIDModel):
    """A tenant: everything else belongs to one, and nobody sees another's."""

    name = models.CharField(max_length=120)
    time_zone = models.CharField(max_length=64, default="UTC", validators=[validate_time_zone])
    default_region = models.CharField(
        max_length=2, default="US", validators=[validate_region], help_text="For phone numbers written without +country code."
    )
    pace_min_delay_ms = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: the installation's default.")
    pace_max_delay_ms = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: the installation's default.")
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
        ]

    def __str__(self) -> str:
        return self.name
