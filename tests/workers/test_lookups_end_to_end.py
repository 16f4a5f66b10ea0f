"""The limit of lookups on real parts: strangers wait for it a moment, regulars never, and nothing is lost or sent twice."""

from datetime import timedelta

import pytest

from tests.support.fixtures import MakeStack
from tests.support.lines import Line, new_key
from tests.support.stack import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.long]
QUICK = {"PACE_MIN_DELAY_MS": 20, "PACE_MAX_DELAY_MS": 60, "TYPING_MAX_MS": 10}


def test_strangers_wait_for_the_limit_of_lookups_and_regulars_do_not(make_stack: MakeStack) -> None:
    stack = make_stack(start=False, WA_LOOKUP_BURST=2, WA_LOOKUP_EVERY_MS=6_000, **QUICK)
    stack.start("simulator", "web", "session-1")
    api = new_key(stack)
    line = Line.make(stack, api).link()
    line.greet()
    strangers = [Line.make(stack, api).customer for _ in range(3)]
    first, second, third = (line.send("hello", to=one) for one in strangers)
    line.sent(first, second)
    row = eventually(lambda: (row := line.message(third))["hold_reason"] and row, what="the hold")
    assert (row["status"], row["hold_reason"], row["attempts"]) == ("queued", "lookup_throttled", 1)
    assert timedelta(seconds=4) < row["hold_until"] - row["status_at"] < timedelta(seconds=11)
    shown = api.get(f"/api/v1/messages/{third}")
    assert shown["hold_reason"] == "lookup_throttled" and "a few at a time" in shown["hold_detail"]

    line.sent(line.send("you are known"))
    assert line.message(third)["status"] == "queued"
    line.sent(third)
    assert [line.shown(one) for one in strangers] == [[("hello", 1)]] * 3
