"""What a restaurant's settings are called, in which units, and what an empty one means on this installation."""

from collections.abc import Mapping

from django.conf import settings

from sessions_app.admin.words import seconds
from sessions_app.models import Consent
from sessions_app.services.optouts import REPLIES

LABELS: Mapping[str, str] = {
    "name": "Name",
    "time_zone": "Time zone",
    "default_region": "Country of its numbers",
    "is_active": "Switched on",
    "pace_min_delay_ms": "Shortest pause, in seconds",
    "pace_max_delay_ms": "Longest pause, in seconds",
    "hourly_limit": "Messages an hour",
    "daily_limit": "Messages a day",
    "recipient_gap_s": "Pause for one customer, in seconds",
    "protect_strangers": "Protect the number",
    "cold_min_delay_ms": "Shortest pause, in seconds",
    "cold_max_delay_ms": "Longest pause, in seconds",
    "strangers_daily_limit": "New chats a day",
    "identical_limit": "Same text an hour",
    "quiet_from": "Quiet from",
    "quiet_until": "Quiet until",
    "urgent_through_quiet": "Urgent ones all the same",
    "send_windows": "Sends at",
    "opt_out_languages": "Languages",
    "opt_out_words": "More words for STOP",
    "opt_in_words": "More words for START",
    "opt_out_reply": "Answer to STOP",
    "opt_in_reply": "Answer to START",
    "resend_uncertain": "Send again",
}

LANGUAGES: Mapping[str, str] = {
    "en": "English",
    "de": "German",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "pt": "Portuguese",
    "nl": "Dutch",
    "tr": "Turkish",
    "ar": "Arabic",
    "pl": "Polish",
    "ru": "Russian",
}


def hints() -> dict[str, str]:
    """Asked for with each page: what an empty field means is this installation's own."""
    return {
        "name": "",
        "time_zone": "Quiet hours, send windows and days go by its clock.",
        "default_region": "For phone numbers that are written without their country code.",
        "is_active": "Off: nothing is sent, and what is accepted waits.",
        **_pace(),
        **_strangers(),
        **_hours(),
        **_opting_out(),
        "resend_uncertain": (
            "WhatsApp sometimes gives no answer. On: it is sent again under the same id, so the customer sees it once."
            " Off: it waits for a person."
        ),
    }


def _pace() -> dict[str, str]:
    return {
        "pace_min_delay_ms": f"Between two messages of a number. Empty: {seconds(settings.PACE_MIN_DELAY_MS)}.",
        "pace_max_delay_ms": f"Each pause is drawn between the two. Empty: {seconds(settings.PACE_MAX_DELAY_MS)}.",
        "hourly_limit": (
            "Of one number, in any 60 minutes: so many to customers who have written to it, and as many to strangers."
            " Empty: no limit."
        ),
        "daily_limit": (
            "Of one number, on a day of the restaurant, to customers who have written to it. New chats have a limit of their own."
            " Empty: no limit."
        ),
        "recipient_gap_s": f"Between two messages to the same customer. Empty: {_gap(settings.RECIPIENT_GAP_S)}.",
    }


def _strangers() -> dict[str, str]:
    warm_up = ", once the number is warmed up" if settings.WARM_UP else ""
    return {
        "protect_strangers": "On: strangers are written to slowly, and few of them a day. Off: as everybody else.",
        "cold_min_delay_ms": f"Between two messages to strangers. Empty: {seconds(settings.COLD_MIN_DELAY_MS)}.",
        "cold_max_delay_ms": f"Each pause is drawn between the two. Empty: {seconds(settings.COLD_MAX_DELAY_MS)}.",
        "strangers_daily_limit": f"First messages to strangers{warm_up}. Empty: {settings.STRANGERS_DAILY_LIMIT or 'no limit'}.",
        "identical_limit": (
            f"Strangers who may get one and the same text within an hour. Empty: {settings.IDENTICAL_LIMIT or 'any number'}."
        ),
    }


def _hours() -> dict[str, str]:
    return {
        "quiet_from": "Every day nothing is sent from then…",
        "quiet_until": "…until then, over midnight if that is earlier. Both empty: no quiet hours.",
        "urgent_through_quiet": "Messages of the priority “urgent” go out in quiet hours as well.",
        "send_windows": (
            "One line a weekday, as in “Mon 10:00–14:00, 17:00–22:00”; on a day without a line nothing is sent."
            " Empty: at any time."
        ),
    }


def _opting_out() -> dict[str, str]:
    stop, start = REPLIES[Consent.Kind.STOP], REPLIES[Consent.Kind.START]
    return {
        "opt_out_languages": "Whose words for STOP and START are understood. STOP and START themselves always are.",
        "opt_out_words": "Of the restaurant's own, with a comma between two.",
        "opt_in_words": "Of the restaurant's own, with a comma between two.",
        "opt_out_reply": f"Sent once to who opts out. Empty: “{stop}”",
        "opt_in_reply": f"Sent once to who opts in again. Empty: “{start}”",
    }


def _gap(gap_s: int) -> str:
    return seconds(gap_s * 1_000) if gap_s else "the same pause as for all"
