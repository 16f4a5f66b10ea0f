"""Why a message waits: a stable code for programs, and a sentence for people. This is the one table of them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sessions_app.policy import retry


class Reason(StrEnum):
    """`hold_reason` of a message that policy holds. The bridge's and WhatsApp's answers have codes of their own in `retry`."""

    # In turn
    NEXT = "next"
    PACE = "pace"
    QUEUE = "queue"
    NUMBER_HELD = "number_held"
    # By the restaurant's rules
    QUIET_HOURS = "quiet_hours"
    SEND_WINDOW = "send_window"
    HOURLY_LIMIT = "hourly_limit"
    DAILY_LIMIT = "daily_limit"
    WARM_UP = "warm_up"
    RECIPIENT_GAP = "recipient_gap"
    IDENTICAL_TEXT = "identical_text"
    # By WhatsApp's signals
    BANNED = "banned_temporarily"
    TIME_LOCK = "time_lock"
    NEW_CHAT_CAP = "new_chat_cap"
    NEW_CHAT_WARNING = "new_chat_warning"
    REFUSED = "strangers_refused"
    ASKING = "asking_whatsapp"
    CONTACT_PARKED = "contact_parked"
    # By the state of the number
    NO_WORKER = "no_worker"
    DISCONNECTED = "disconnected"
    NOT_LINKED = "not_linked"
    STOPPED = "stopped"
    LOGGED_OUT = "logged_out"
    BLOCKED = "blocked"
    QUARANTINED = "quarantined"
    RESTAURANT_OFF = "restaurant_off"
    SCHEDULED = "scheduled"


_SENTENCES = {
    Reason.NEXT: "It goes next.",
    Reason.PACE: "It goes after the pause that this number makes between two messages.",
    Reason.QUEUE: "Other messages of this number go first.",
    Reason.NUMBER_HELD: "The number waits before it tries again; the message that it tried last says why.",
    Reason.QUIET_HOURS: "These are the restaurant's quiet hours.",
    Reason.SEND_WINDOW: "The restaurant sends at other hours of the week.",
    Reason.HOURLY_LIMIT: "The number has sent as much as it may within an hour.",
    Reason.DAILY_LIMIT: "The number has sent as much as it may on one day.",
    Reason.WARM_UP: "The number is new: it may write to a few strangers a day, and to more each day.",
    Reason.RECIPIENT_GAP: "This customer got a message a moment ago.",
    Reason.IDENTICAL_TEXT: "The same text went to many strangers within an hour, which WhatsApp takes for spam.",
    Reason.BANNED: "WhatsApp has banned this number for a while.",
    Reason.TIME_LOCK: "WhatsApp does not let this number write to strangers for a while.",
    Reason.NEW_CHAT_CAP: "The number has used up the new chats that WhatsApp allows it in this period.",
    Reason.NEW_CHAT_WARNING: "The number is close to WhatsApp's limit of new chats: only urgent and high go to strangers.",
    Reason.REFUSED: "WhatsApp has refused several messages to strangers, so this number writes to none for some hours.",
    Reason.ASKING: "WhatsApp has just refused a message to a stranger; it is being asked why.",
    Reason.CONTACT_PARKED: "WhatsApp does not let this number write to this customer now; it is tried again later.",
    Reason.NO_WORKER: "No worker is running that could send it.",
    Reason.DISCONNECTED: "The number's connection is down, and is made again at this time.",
    Reason.NOT_LINKED: "No WhatsApp number is linked.",
    Reason.STOPPED: "The number is kept offline because somebody asked for it.",
    Reason.LOGGED_OUT: "The phone removed this device: link the number again.",
    Reason.BLOCKED: "WhatsApp refuses this number; its page says why.",
    Reason.QUARANTINED: "Its session made the bridge crash and is kept apart until somebody restarts it.",
    Reason.RESTAURANT_OFF: "The restaurant is switched off.",
    Reason.SCHEDULED: "It is to go at a later time.",
}


@dataclass(frozen=True, slots=True)
class Held:
    """Not before `until`, for this reason: one of `Reason`, or a code of `retry`."""

    reason: str
    until: datetime


def sentence(code: str) -> str:
    """The plain words for any `hold_reason`; empty for one nobody knows."""
    if code in _SENTENCES:
        return _SENTENCES[Reason(code)]
    return retry.sentences().get(code, "")


def longest(holds: list[Held]) -> Held | None:
    """The one that ends last; of equals the first."""
    return max(holds, key=lambda hold: hold.until, default=None)
