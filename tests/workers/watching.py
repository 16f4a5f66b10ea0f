"""A session and its messages as they change, and the stub that stands for their bridge."""

from typing import Any

import pytest

from sessions_app.models import Message, Session
from tests.support.owning import linked
from tests.support.stack import eventually
from tests.support.stub_bridge import StubBridge, StubBridgeThread


def fresh(session: Session) -> Session:
    session.refresh_from_db()
    return session


def until_state(session: Session, state: str) -> Session:
    eventually(lambda: fresh(session).state == state, what=f"{state}, was {session.state} ({session.state_reason})")
    return session


def until_status(message: Message, status: str) -> Message:
    def reached() -> bool:
        message.refresh_from_db()
        return message.status == status

    eventually(reached, what=f"{status}, was {message.status} ({message.error_code})")
    return message


def online(session: Session, stub: StubBridge) -> Session:
    """Linked before: it only has to log in."""
    stub.linked.add(str(session.pk))
    return linked(session)


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    return [record.msg for record in caplog.records if isinstance(record.msg, dict) and record.msg["event"] == event]


def tell(bridge: StubBridgeThread, act: Any) -> None:
    bridge.do(act)


def two_bridges(stub: StubBridge) -> tuple[StubBridge, StubBridgeThread]:
    """A second one that holds the same credentials."""
    other = StubBridge(secret=stub._secret)
    other.linked = stub.linked
    host = StubBridgeThread(other)
    host.start()
    return other, host
