"""What becomes of a session's messages when it is linked anew, on real parts."""

import pytest

from tests.support.fixtures import MakeStack
from tests.support.lines import Line, new_key
from tests.support.stack import Stack, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.long]
QUICK = {"PACE_MIN_DELAY_MS": 20, "PACE_MAX_DELAY_MS": 60, "TYPING_MAX_MS": 10, "SEND_ACK_TIMEOUT_S": 1}


@pytest.fixture(scope="module")
def stack(make_module_stack: MakeStack) -> Stack:
    stack = make_module_stack(start=False, **QUICK)
    stack.start("simulator", "web", "session-1")
    return stack


@pytest.mark.parametrize("same", [True, False], ids=["the same number", "another number"])
def test_what_was_left_unanswered_is_sent_again_by_its_own_number_alone(stack: Stack, same: bool) -> None:
    line = Line.make(stack, new_key(stack)).link()
    line.fault("message", times=0, action="drop")
    unanswered = line.send("unanswered")
    line.until_message(unanswered, "uncertain")
    line.log_out()
    stack.network.delete("/api/faults")
    now = (line if same else line.on_another_phone()).link()
    now.sent(now.send("afterwards"))
    status, texts = ("delivered", ["unanswered", "afterwards"]) if same else ("failed", ["afterwards"])
    assert now.until_message(unanswered, status)["error_code"] == ("" if same else "unconfirmed")
    eventually(lambda: now.shown() == [(text, 1) for text in texts], what=f"{texts}, saw {now.shown()}")
