"""How a restaurant's settings are laid out: to be filled in, and for those who may only look."""

from typing import Any

from django.contrib import admin

from sessions_app.admin import week
from sessions_app.admin.fields import codes
from sessions_app.admin.restaurant_words import LANGUAGES
from sessions_app.models import Restaurant
from sessions_app.policy.pacing import Pace
from sessions_app.services import rules

STRANGERS = "Customers who never wrote to a number. WhatsApp restricts numbers that write to many of them."

TO_FILL_IN: Any = (
    (None, {"fields": ("name", ("time_zone", "default_region"), "is_active")}),
    ("Pace", {"fields": (("pace_min_delay_ms", "pace_max_delay_ms"), ("hourly_limit", "daily_limit"), "recipient_gap_s")}),
    (
        "Strangers",
        {
            "fields": (
                "protect_strangers",
                ("cold_min_delay_ms", "cold_max_delay_ms"),
                ("strangers_daily_limit", "identical_limit"),
            ),
            "description": STRANGERS,
        },
    ),
    ("Hours", {"fields": (("quiet_from", "quiet_until"), "urgent_through_quiet", "send_windows")}),
    ("Opting out", {"fields": ("opt_out_languages", ("opt_out_words", "opt_in_words"), ("opt_out_reply", "opt_in_reply"))}),
    ("Messages without an answer", {"fields": ("resend_uncertain",)}),
)

# What holds, the installation's defaults included, rather than what was filled in.
TO_LOOK_AT: Any = (
    (None, {"fields": ("name", ("time_zone", "default_region"), "is_active")}),
    ("Pace", {"fields": (("shown_pace", "shown_gap"), ("hourly_limit", "daily_limit"))}),
    (
        "Strangers",
        {"fields": (("protect_strangers", "shown_cold_pace"), ("shown_new_chats", "shown_identical")), "description": STRANGERS},
    ),
    ("Hours", {"fields": (("quiet_from", "quiet_until"), "urgent_through_quiet", "shown_windows")}),
    ("Opting out", {"fields": ("shown_languages", ("opt_out_words", "opt_in_words"), ("opt_out_reply", "opt_in_reply"))}),
    ("Messages without an answer", {"fields": ("resend_uncertain",)}),
)


class Looked:
    """What the fields of TO_LOOK_AT show."""

    @admin.display(description="Pause")
    def shown_pace(self, restaurant: Restaurant) -> str:
        return _pace(rules.of_restaurant(restaurant).policy.warm.pace)

    @admin.display(description="Pause")
    def shown_cold_pace(self, restaurant: Restaurant) -> str:
        return _pace(rules.of_restaurant(restaurant).policy.cold.pace)

    @admin.display(description="Pause for one customer")
    def shown_gap(self, restaurant: Restaurant) -> str:
        gap = rules.of_restaurant(restaurant).gap
        return f"{gap.total_seconds():g} s" if gap else "the same as for all"

    @admin.display(description="New chats a day")
    def shown_new_chats(self, restaurant: Restaurant) -> str:
        limit = rules.of_restaurant(restaurant).policy.cold.per_day
        return "no limit" if limit is None else f"{limit}"

    @admin.display(description="Same text an hour")
    def shown_identical(self, restaurant: Restaurant) -> str:
        chosen = rules.of_restaurant(restaurant)
        return "any number" if chosen.identical is None or not chosen.protects else f"{chosen.identical} strangers"

    @admin.display(description="Sends at")
    def shown_windows(self, restaurant: Restaurant) -> str:
        return week.to_text(restaurant.send_windows) or "any time"

    @admin.display(description="Languages")
    def shown_languages(self, restaurant: Restaurant) -> str:
        return ", ".join(LANGUAGES[code] for code in codes(restaurant.opt_out_languages)) or "none besides STOP and START"


def _pace(pace: Pace) -> str:
    return f"{pace.min_ms / 1_000:g}–{pace.max_ms / 1_000:g} s"
