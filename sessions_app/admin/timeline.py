"""A message's history as people read it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.safestring import SafeString

from sessions_app.admin.markup import badge
from sessions_app.admin.words import code_in_words, message_badge, span
from sessions_app.models import Message


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
    """What was noted with a change: "attempt 2, delay ms 3120"."""
    return ", ".join(
        f"{code_in_words(str(key))} {_value(value)}" for key, value in detail.items() if value not in (None, "", [], {})
    )


def _value(value: Any) -> str:
    return code_in_words(value) if isinstance(value, str) and value.isidentifier() else str(value)


def _after(before: datetime | None, at: datetime) -> str:
    if before is None:
        return ""
    seconds = (at - before).total_seconds()
    return f"+{seconds:.1f} s" if seconds < 60 else f"+{span(seconds)}"
