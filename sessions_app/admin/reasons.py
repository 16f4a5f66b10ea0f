"""Why a message has not gone out, in a few words for lists; `policy.reasons` and `waiting.py` have the whole sentences."""

from sessions_app.admin.words import code_in_words
from sessions_app.policy.reasons import Reason

_FEW: dict[str, str] = {
    Reason.QUIET_HOURS: "quiet hours",
    Reason.SEND_WINDOW: "outside the send windows",
    Reason.HOURLY_LIMIT: "hourly limit reached",
    Reason.DAILY_LIMIT: "daily limit reached",
    Reason.WARM_UP: "number is warming up",
    Reason.RECIPIENT_GAP: "customer was just written to",
    Reason.IDENTICAL_TEXT: "same text to many",
    Reason.BANNED: "number banned for a while",
    Reason.TIME_LOCK: "no strangers for now",
    Reason.NEW_CHAT_CAP: "no new chats left",
    Reason.NEW_CHAT_WARNING: "new chats nearly used up",
    Reason.REFUSED: "strangers refused",
    Reason.ASKING: "asking WhatsApp why",
    Reason.CONTACT_PARKED: "WhatsApp refuses this customer",
    Reason.NO_WORKER: "no worker is running",
    Reason.DISCONNECTED: "reconnecting",
    Reason.NOT_LINKED: "no number linked",
    Reason.STOPPED: "number kept offline",
    Reason.LOGGED_OUT: "number logged out",
    Reason.BLOCKED: "session blocked",
    Reason.QUARANTINED: "session kept apart",
    Reason.NUMBER_HELD: "number makes a pause",
    Reason.RESTAURANT_OFF: "restaurant switched off",
    "not_on_whatsapp": "not on WhatsApp",
    "invalid_request": "could not be handed over",
    "unconfirmed": "never confirmed",
    "ack_timeout": "no answer from WhatsApp",
    "connection_lost": "connection was lost",
    "owner_lost": "its worker stopped",
    "lookup_failed": "number could not be looked up",
    "lookup_throttled": "looking numbers up slowly",
    "no_devices": "customer has no device",
    "encryption_failed": "could not be encrypted",
    "not_connected": "number not connected",
    "bridge_unavailable": "bridge did not answer",
    "store_unavailable": "keys could not be read",
    "lease_ran_out": "its worker was cut off",
    "not_sent": "was not handed over",
    "unknown": "outcome not known",
    "expired": "too old",
    "wa_463": "refused: a stranger",
    "wa_429": "WhatsApp wants it slower",
    "wa_500": "WhatsApp had trouble",
    "wa_503": "WhatsApp had trouble",
    "rate_limited": "WhatsApp wants it slower",
    "opted_out": "customer has opted out",
    "session_deleted": "its session was deleted",
}


def in_few_words(code: str) -> str:
    """For `hold_reason`, `error_code` and the `reason` of a timeline's step; empty for no code."""
    if code not in _FEW and code.startswith("wa_"):
        return f"refused by WhatsApp ({code.removeprefix('wa_')})"
    return _FEW.get(code, code_in_words(code))
