"""What a session's customers get and when, and what the tests of pace, lanes and limits do to sessions."""

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from django.utils import timezone

from sessions_app.models import Message, Session
from sessions_app.policy.pacing import Pace
from tests.support.claiming import numbers
from tests.support.owning import queued
from tests.support.stub_bridge import Json, StubBridge, acked
from tests.workers.watching import until_status

EAGER = Pace(0, 0)
OTHER = "+4915187654321"
TZ = ZoneInfo("Europe/Berlin")


class Wire:
    """Answers as WhatsApp does once the customer has seen so much typing, and keeps what went when: (seconds, text, typing)."""

    def __init__(self, stub: StubBridge) -> None:
        self.sent: list[tuple[float, str, int]] = []
        self.refuses: set[str] = set()  # numbers that are answered 463
        self.not_sent = ""  # the bridge's reason to send nothing to strangers
        stub.answer = self

    async def __call__(self, who: str, send: Json) -> Json:
        if self.not_sent and "stranger" in send["content"]["text"]:
            return {"outcome": "not_sent", "reason": self.not_sent}
        await asyncio.sleep(send["typing_ms"] / 1_000)
        self.sent.append((time.monotonic(), send["content"]["text"], send["typing_ms"]))
        if send["to"]["phone"] in self.refuses:
            return {"outcome": "rejected", "code": "463", "address": "a@lid"}
        return await acked(who, send)

    @property
    def texts(self) -> list[str]:
        return [text for _, text, _ in self.sent]

    def gaps_ms(self, some: str = "") -> list[float]:
        """Between those whose text begins so."""
        times = [at for at, text, _ in self.sent if text.startswith(some)]
        return [(after - before) * 1_000 for before, after in pairwise(times)]


def usual(times: list[float]) -> float:
    """The median: a loaded machine may be late once."""
    return sorted(times)[len(times) // 2]


def waiting(session: Session, *bodies: str, **more: Any) -> list[Message]:
    """Each to a customer of its own."""
    return [queued(session, body, **{"to_phone": to, **more}) for body, to in zip(bodies, numbers(len(bodies)), strict=True)]


def until_sent(messages: Iterable[Message]) -> None:
    for message in messages:
        until_status(message, "sent")


def seen_for(seconds: float, what: Callable[[], bool]) -> None:
    """It is so, and stays so, while time passes: what must not happen cannot be awaited."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert what()
        time.sleep(0.05)


def in_seconds(seconds: float) -> datetime:
    return timezone.now() + timedelta(seconds=seconds)
