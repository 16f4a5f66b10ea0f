"""States in plain words, for people who run a restaurant. Pure: the caller passes the clock in."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import phonenumbers

from sessions_app.models import Message, Session

Tone = Literal["good", "busy", "warn", "bad", "calm"]


@dataclass(frozen=True)
class Badge:
    text: str
    tone: Tone
    hint: str = ""


_SESSION: dict[str, tuple[str, Tone]] = {
    Session.State.UNLINKED: ("Not linked", "calm"),
    Session.State.LINKING: ("Waiting for the phone", "busy"),
    Session.State.CONNECTING: ("Connecting", "busy"),
    Session.State.CONNECTED: ("Connected", "good"),
    Session.State.DISCONNECTED: ("Reconnecting", "warn"),
    Session.State.STOPPED: ("Kept offline", "calm"),
    Session.State.LOGGED_OUT: ("Logged out", "bad"),
    Session.State.BLOCKED: ("Blocked", "bad"),
}
QUARANTINED = "quarantined"  # a reason to be blocked that is not WhatsApp's

_MESSAGE: dict[str, tuple[str, Tone]] = {
    Message.Status.SCHEDULED: ("Scheduled", "calm"),
    Message.Status.QUEUED: ("Waiting", "busy"),
    Message.Status.SENDING: ("Being sent", "busy"),
    Message.Status.UNCERTAIN: ("Unclear", "warn"),
    Message.Status.SENT: ("Sent", "good"),
    Message.Status.DELIVERED: ("Delivered", "good"),
    Message.Status.READ: ("Read", "good"),
    Message.Status.FAILED: ("Failed", "bad"),
    Message.Status.CANCELED: ("Canceled", "calm"),
    Message.Status.EXPIRED: ("Expired", "warn"),
    Message.Status.SUPPRESSED: ("Suppressed", "warn"),
}

_LANE = {
    Message.Lane.WARM: "to a customer who has written",
    Message.Lane.COLD: "to a stranger written to before",
    Message.Lane.NEW: "first message to a stranger",
}

# States that stay as they are until somebody does something.
NEEDS_A_PERSON = (Session.State.LOGGED_OUT, Session.State.BLOCKED)


def session_badge(state: str, reason: str = "") -> Badge:
    if state == Session.State.BLOCKED and reason == QUARANTINED:
        return Badge("Quarantined", "bad", "Kept apart from the others")
    text, tone = _SESSION.get(state, (state, "calm"))
    return Badge(text, tone, str(Session.State(state).label) if state in Session.State.values else "")


def message_badge(status: str) -> Badge:
    text, tone = _MESSAGE.get(status, (status, "calm"))
    return Badge(text, tone, str(Message.Status(status).label) if status in Message.Status.values else "")


def lane_in_words(lane: int) -> str:
    return _LANE[Message.Lane(lane)]


def session_sentence(session: Session) -> str:
    """What is true of this session, in one sentence; the owner's own words win over the general ones."""
    if session.state == Session.State.BLOCKED and session.state_detail:
        return session.state_detail
    general = session_badge(session.state, session.state_reason).hint
    return f"{general}. {session.state_detail}" if session.state_detail else f"{general}."


def span(seconds: float) -> str:
    """A length of time as people say it: "12 s", "5 min", "3 h", "2 days"."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size or (unit != "days" and seconds >= size):
            return f"{int(seconds // size)} {unit}"
    return f"{int(max(seconds, 0))} s"


def seconds(milliseconds: int) -> str:
    """2500 as "2.5 s"."""
    return f"{milliseconds / 1_000:g} s"


def exact(at: datetime) -> str:
    """As the pages write a time; in UTC, which the page says once."""
    return f"{at.astimezone(UTC):%-d %b %Y, %H:%M:%S}"


def ago(then: datetime | None, now: datetime) -> str:
    if then is None:
        return "never"
    passed = (now - then).total_seconds()
    if passed < 5:
        return "just now"
    if passed > timedelta(days=7).total_seconds():
        return f"{then:%-d %b %Y}"
    return f"{span(passed)} ago"


def code_in_words(code: str) -> str:
    """A stable code as a person reads it; codes that have words of their own are in `policy.reasons`."""
    return code.replace("_", " ").replace(".", " ").strip()


def pretty_phone(phone: str) -> str:
    """+4915112345678 as +49 1511 2345678; what is no E.164 number stays as it is."""
    try:
        return phonenumbers.format_number(phonenumbers.parse(phone), phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    except phonenumbers.NumberParseException:
        return phone
