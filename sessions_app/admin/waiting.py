"""Why a message has not gone out yet, and when it will, in one plain sentence. Pure: the caller passes the clock in."""

from dataclasses import dataclass
from datetime import datetime

from sessions_app.admin.words import QUARANTINED, code_in_words, exact, session_badge, span
from sessions_app.models import Message, Session
from sessions_app.policy import retry
from sessions_app.policy.reasons import Held, Reason, sentence

_OFFLINE = {
    Session.State.UNLINKED: "No number is linked to this session. It goes out once one is.",
    Session.State.LINKING: "The number is being linked. It goes out once that is done.",
    Session.State.CONNECTING: "The number is connecting. It goes out as soon as it is connected.",
    Session.State.DISCONNECTED: "The connection is down and is being made again. It goes out as soon as it is back.",
    Session.State.STOPPED: "Somebody keeps this number offline. It goes out once the session is started again.",
    Session.State.LOGGED_OUT: "The phone logged this session out. Link the number again; the queue is kept.",
    Session.State.BLOCKED: "WhatsApp refuses this number at the moment. The queue is kept.",
}


# What the bridge or WhatsApp said of this message goes before what holds its whole lane.
_ANSWERED = frozenset(retry.sentences())
# Not holds: what waits for these is next, or has others before it.
IN_TURN = frozenset({Reason.NEXT, Reason.PACE, Reason.QUEUE})


@dataclass(frozen=True)
class Surroundings:
    """What the reason depends on besides the message and its session."""

    ahead: int  # messages of the session that go first; counted up to a cap
    ahead_capped: bool
    worker_alive: bool
    hold: Held | None = None  # by the rules, beyond its turn
    opted_out: bool = False  # its customer


def reason_for_waiting(message: Message, session: Session, around: Surroundings, now: datetime) -> str:
    """Empty when the message is not waiting."""
    if message.status == Message.Status.SCHEDULED:
        return f"It is scheduled: it is sent in {span((message.not_before - now).total_seconds())}."
    if message.status == Message.Status.SENDING:
        return "It is being handed to WhatsApp at this moment."
    if message.status == Message.Status.UNCERTAIN:
        return _uncertain(message, session, around)
    if message.status == Message.Status.QUEUED:
        return _queued(message, session, around, now)
    return ""


def _uncertain(message: Message, session: Session, around: Surroundings) -> str:
    if message.is_another_numbers:
        return (
            "WhatsApp gave no answer, and the number that handed it over is not linked here any more: it is not sent again. A"
            " receipt settles it, or you do, by a button."
        )
    if around.opted_out:
        return (
            "WhatsApp gave no answer, and the customer has opted out since: it is not sent again. A receipt settles it, or you"
            " do, by a button."
        )
    if session.restaurant.resend_uncertain:
        return (
            "WhatsApp gave no answer, so it may or may not have been sent. A receipt settles it; else it is sent again under the"
            " same id, and the customer's phone shows it once."
        )
    return (
        "WhatsApp gave no answer, and this restaurant has switched resending off: a receipt settles it, or you do, by a button."
    )


def _queued(message: Message, session: Session, around: Surroundings, now: datetime) -> str:
    if session.state == Session.State.BLOCKED and session.state_reason == QUARANTINED:
        return "Its session made the bridge crash and is kept apart. It goes out once somebody has restarted the session."
    if session.state == Session.State.BLOCKED and session.state_detail:
        return f"{session.state_detail} {_blocked_until(session, now)}"
    if session.state in _OFFLINE:
        return _OFFLINE[Session.State(session.state)]
    if not around.worker_alive:
        return "No worker is running. It goes out as soon as one is."
    if message.hold_reason in _ANSWERED:
        return _held(message, now)
    if around.hold is not None:
        return _ruled(around.hold, now)
    if message.hold_reason:
        return _held(message, now)
    if message.not_before > now:
        return f"It is tried again in {span((message.not_before - now).total_seconds())}."
    return _in_line(session, around, now)


def _blocked_until(session: Session, now: datetime) -> str:
    if session.retry_at is None or session.retry_at <= now:
        return "The queue is kept."
    return f"The queue is kept; the number is tried again at {exact(session.retry_at)} UTC."


def _held(message: Message, now: datetime) -> str:
    why = sentence(message.hold_reason) or f"It waits: {code_in_words(message.hold_reason)}."
    until = message.hold_until or message.not_before
    when = (
        f"It is tried again in {span((until - now).total_seconds())}." if until > now else "It is tried again at its next turn."
    )
    return f"{why} {when}"


def _ruled(hold: Held, now: datetime) -> str:
    if hold.until <= now:
        return sentence(hold.reason)
    in_time = span((hold.until - now).total_seconds())
    return f"{sentence(hold.reason)} It goes out in {in_time} at the earliest: {exact(hold.until)} UTC."


def _in_line(session: Session, around: Surroundings, now: datetime) -> str:
    if around.ahead:
        count = f"more than {around.ahead}" if around.ahead_capped else str(around.ahead)
        noun = "message goes" if around.ahead == 1 else "messages go"
        return f"It keeps a human pace: {count} {noun} first."
    if session.next_send_at and session.next_send_at > now:
        return f"It is next: it goes out in {span((session.next_send_at - now).total_seconds())}, at a human pace."
    return f"It is next. {session_badge(session.state).text}: it goes out now."
