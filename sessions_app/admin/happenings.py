"""A session's activity log as people read it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sessions_app.admin.timeline import detail_in_words
from sessions_app.admin.words import Tone, code_in_words, exact, pretty_phone, session_badge
from sessions_app.models import SessionEvent
from sessions_app.policy.signals import CapStatus, cap_status

Detail = dict[str, Any]
Said = tuple[str, str, Tone]


@dataclass(frozen=True)
class Happening:
    at: datetime
    title: str
    words: str
    tone: Tone


_TITLES = {
    "created": "Session created",
    "imported": "Taken over from the old installation",
    "claimed": "Taken over by a worker",
    "released": "Given up by its worker",
    "link_requested": "Linking asked for",
    "link_stopped": "Linking ended",
    "restart_requested": "Restart asked for",
    "stop_requested": "To be kept offline",
    "start_requested": "To be connected again",
    "log_out_requested": "To be logged out",
    "age_declared": "Counts as warmed up",
    "number_replaced": "Another number: what was known of the one before is forgotten",
    "number_moved_here": "Its number was linked in another session before: customers and their opt-outs went along",
    "deleted": "Session deleted",
}


def happening(event: SessionEvent) -> Happening:
    told = _TOLD[event.kind](event.detail) if event.kind in _TOLD else _other(event.kind, event.detail)
    return Happening(event.at, *told)


def _other(kind: str, detail: Detail) -> Said:
    return (_TITLES.get(kind, code_in_words(kind).capitalize()), detail_in_words(detail), "calm")


def _state(detail: Detail) -> Said:
    shown, before = session_badge(str(detail.get("to", "")), str(detail.get("reason", ""))), detail.get("from")
    parts = [
        code_in_words(str(detail.get("reason", ""))),
        f"until {until}" if (until := _moment(detail.get("until"))) else "",
        "after a restriction by WhatsApp" if detail.get("restricted_before") else "",
        f"before: {session_badge(str(before)).text.lower()}" if before else "",
    ]
    return (shown.text, ", ".join(part for part in parts if part), shown.tone if shown.tone == "bad" else "calm")


def _link_requested(detail: Detail) -> Said:
    how = "by pairing code" if detail.get("method") == "code" else "by QR code"
    whose = f"for {pretty_phone(str(detail['phone']))}" if detail.get("phone") else ""
    return (_TITLES["link_requested"], ", ".join(part for part in (f"{how} {whose}".strip(), _by(detail)) if part), "calm")


def _claimed(detail: Detail) -> Said:
    return (_TITLES["claimed"], str(detail.get("worker", "")), "calm")


def _released(detail: Detail) -> Said:
    return (_TITLES["released"], code_in_words(str(detail.get("reason", ""))), "calm")


def _age_declared(detail: Detail) -> Said:
    return (_TITLES["age_declared"], _by(detail), "calm")


def _restricted(detail: Detail) -> Said:
    if not detail.get("active"):
        return ("WhatsApp says: no restriction", "", "calm")
    until = _moment(detail.get("until"))
    return ("No messages to strangers", f"WhatsApp forbids them {f'until {until}' if until else 'for now'}", "bad")


def _cap(detail: Detail) -> Said:
    status = cap_status(str(detail.get("status", "none")).upper())
    used = f"used {detail.get('used', 0)} of {detail['total']}" if detail.get("total") else ""
    again = _moment(detail.get("cycle_ends_at"))
    words = [used, f"counted anew from {again}" if again and (used or status is not CapStatus.NONE) else ""]
    title, tone = _CAPS[status]
    return (title, ", ".join(part for part in words if part), tone)


_CAPS: dict[CapStatus, tuple[str, Tone]] = {
    CapStatus.NONE: ("New-chat limit: no warning", "calm"),
    CapStatus.FIRST_WARNING: ("New-chat limit: first warning", "warn"),
    CapStatus.SECOND_WARNING: ("New-chat limit: last warning", "warn"),
    CapStatus.CAPPED: ("New-chat limit: used up", "bad"),
}

_TOLD: dict[str, Callable[[Detail], Said]] = {
    "state": _state,
    "link_requested": _link_requested,
    "claimed": _claimed,
    "released": _released,
    "age_declared": _age_declared,
    "number_restricted": _restricted,
    "chat_cap": _cap,
}


def _by(detail: Detail) -> str:
    return f"asked by {detail['by']}" if detail.get("by") else ""


def _moment(value: Any) -> str:
    """Empty for what is no time."""
    try:
        return exact(datetime.fromisoformat(value))
    except (TypeError, ValueError, OverflowError):
        return ""
