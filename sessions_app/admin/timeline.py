"""A message's history as people read it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.safestring import SafeString

from sessions_app.admin.markup import badge
from sessions_app.admin.reasons import in_few_words
from sessions_app.admin.words import code_in_words, message_badge, span
from sessions_app.models import Message

_NOT_FOR_PEOPLE = frozenset({"event"})  # the id under which the bridge told it
_NOTHING: tuple[Any, ...] = (None, False, "", [], {})


@dataclass(frozen=True)
class Step:
    at: datetime
    badge: SafeString
    tone: str
    words: str
    after: str  # how long after the step before


def steps_of(message: Message) -> list[Step]:
    """Oldest first."""
    steps: list[Step] = []
    before: datetime | None = None
    for event in message.events.all():
        shown = message_badge(event.status)
        steps.append(
            Step(event.at, badge(shown), shown.tone, detail_in_words(event.detail) or shown.hint, _after(before, event.at))
        )
        before = event.at
    return steps


def detail_in_words(detail: dict[str, Any]) -> str:
    """What was noted with a change, as in "attempt 2, no answer from WhatsApp"; what says nothing to a person is left out."""
    worth = {key: value for key, value in detail.items() if key not in _NOT_FOR_PEOPLE and value not in _NOTHING}
    return ", ".join(_named(str(key), value) for key, value in worth.items())


def _named(key: str, value: Any) -> str:
    return in_few_words(str(value)) if key == "reason" else f"{code_in_words(key)} {_value(value)}"


def _value(value: Any) -> str:
    if value is True:
        return "yes"
    return code_in_words(value) if isinstance(value, str) and value.isidentifier() else str(value)


def _after(before: datetime | None, at: datetime) -> str:
    if before is None:
        return ""
    seconds = (at - before).total_seconds()
    return f"+{seconds:.1f} s" if seconds < 60 else f"+{span(seconds)}"
