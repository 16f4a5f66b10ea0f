"""When one session's lanes may send, as its owner asks."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

from sessions_app.models import Restaurant
from sessions_app.policy.ledger import Ledger
from sessions_app.policy.priorities import EVERY
from sessions_app.policy.rules import Number
from sessions_app.policy.warmup import WarmUp
from sessions_app.services import rules
from workers.pacer import Pacer

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROW: Any = SimpleNamespace(id=uuid4(), term=1)


def pacer(turn: int) -> Pacer:
    return Pacer(rules.of_restaurant(Restaurant()), Number(WarmUp(date(2025, 1, 1))), Ledger(), turn=turn)


def test_to_ask_what_may_go_is_no_turn() -> None:
    """The queue is looked into more often than a message goes: at a stranger's pause the warm lane's slot comes first."""
    for turn in range(EVERY):
        asked = pacer(turn)
        answers = [asked.due(ROW, NOW + n * timedelta(minutes=1)).oldest for n in range(2 * EVERY)]
        assert answers == [turn == EVERY - 1] * (2 * EVERY)
