"""What the log tells of a session and of a message that was not simply sent."""

import logging
from typing import Any

import pytest

from sessions_app.models import Session
from tests.support.owning import linked, queued
from tests.support.stack import eventually
from tests.support.stub_bridge import Json, StubBridge
from tests.workers.conftest import MakeRunner


async def rejected(session: str, send: Json) -> Json:
    return {"outcome": "rejected", "code": "463", "address": "1@lid"}


def test_lines_name_restaurant_session_and_message_and_not_what_was_written_to_whom(
    session: Session, stub: StubBridge, make_runner: MakeRunner, caplog: pytest.LogCaptureFixture
) -> None:
    stub.answer = rejected
    stub.linked.add(str(session.pk))
    message = queued(linked(session), body="two pizzas")
    with caplog.at_level(logging.INFO):
        make_runner()
        eventually(lambda: _line(caplog, "message.settled"), what="the line")
    settled, state = _line(caplog, "message.settled"), _line(caplog, "session.state")
    ids = {"session": str(session.pk), "restaurant": str(session.restaurant_id)}
    assert ids.items() <= state.items()
    told = {name: str(value) for name, value in settled.items()}
    assert (ids | {"message": str(message.pk), "status": "failed", "code": "wa_463"}).items() <= told.items()
    assert "two pizzas" not in caplog.text and message.to_phone not in caplog.text


def _line(caplog: pytest.LogCaptureFixture, event: str) -> dict[str, Any]:
    entries = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    return next((entry for entry in entries if entry["event"] == event), {})
