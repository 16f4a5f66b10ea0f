"""WhatsApp's signals, each injected into real parts: what becomes of the session, of what waits in it, and how it heals.

Waits are read from the rows, not waited for. Each test has a number of its own.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.fixtures import MakeStack
from tests.support.http import Json
from tests.support.lines import SENT, Line, growing, new_key
from tests.support.stack import Stack, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.long]
QUICK = {"PACE_MIN_DELAY_MS": 20, "PACE_MAX_DELAY_MS": 60, "TYPING_MAX_MS": 10, "SEND_ACK_TIMEOUT_S": 3}
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
USYNC = {"xmlns": "usync"}


@pytest.fixture(scope="module")
def stack(make_module_stack: MakeStack) -> Stack:
    stack = make_module_stack(start=False, **QUICK)
    stack.start("simulator", "web", "session-1")
    return stack


@pytest.fixture(scope="module")
def api(stack: Stack) -> Json:
    return new_key(stack)


@pytest.fixture
def line(stack: Stack, api: Json) -> Iterator[Line]:
    line = Line.make(stack, api).link()
    yield line
    stack.network.delete("/api/faults")
    line.let_go()


# --- 405, for the whole fleet; first, since a bridge looks for a newer version once a minute at most


def test_405_is_healed_by_the_current_version(line: Line, api: Json, stack: Stack) -> None:
    in_use = stack.network.post("/api/client-versions", {})["current"]
    newer = f"2.3000.{int(in_use.rpartition('.')[2]) + 10}"
    stack.network.post("/api/client-versions", {"current": newer, "oldest": newer})
    try:
        line.cut()
        eventually(lambda: line.row["state"] != "connected", what="the end of the connection")
        line.until("connected")
        other = Line.make(stack, api).link()
        assert "client_outdated" not in [*line.ended(), *other.ended()]
        line.sent(line.send("with the new version"))
        assert stack.log("session-1").count("WhatsApp refused the client as too old: the newest version is used") == 1
    finally:
        stack.network.post("/api/client-versions", {"oldest": None})


# --- The connection is refused, again and again: 402, 403, 405, 406, 411, 500, 503

FOREVER = None  # a person has to act
BAN = {"code": "104"}
UNTIL = (2 * HOUR, timedelta())  # as it was told, and not a backoff
REFUSALS: list[Any] = [
    pytest.param({"code": 402, "attrs": {"expire": "7200", **BAN}}, "blocked", "banned_temporarily", UNTIL, id="402-until"),
    pytest.param({"code": 402, "attrs": BAN}, "blocked", "banned_temporarily", (HOUR, 24 * HOUR), id="402"),
    pytest.param({"code": 403}, "blocked", "forbidden", FOREVER, id="403"),
    pytest.param({"code": 405}, "disconnected", "client_outdated", (10 * SECOND, 30 * MINUTE), id="405"),
    pytest.param({"code": 406}, "blocked", "locked", FOREVER, id="406"),
    pytest.param({"action": "downgrade"}, "blocked", "not_multidevice", FOREVER, id="411"),
    pytest.param({"code": 500}, "disconnected", "server_error", (2 * SECOND, 5 * MINUTE), id="500"),
    pytest.param({"code": 503}, "disconnected", "unavailable", (5 * SECOND, 5 * MINUTE), id="503"),
]  # fmt: skip


@pytest.mark.parametrize(("refusal", "state", "reason", "wait"), REFUSALS)
def test_a_login_that_is_refused_keeps_link_and_queue_and_says_until_when(
    line: Line, refusal: dict[str, Any], state: str, reason: str, wait: tuple[timedelta, timedelta] | None
) -> None:
    linked_at = line.row["linked_at"]
    line.fault("login", times=0, **{"action": "failure", **refusal})
    line.cut()
    row = line.until(state, reason)
    waiting = [line.send("one"), line.send("two")]
    assert (row["linked_at"], row["phone"]) == (linked_at, line.number)
    assert row["state_detail"]
    _assert_wait(row, wait)
    assert [line.message(one)["attempts"] for one in waiting] == [0, 0]

    line.heal()
    line.sent(*waiting)
    assert line.shown() == [("one", 1), ("two", 1)]
    row = line.row
    assert (row["linked_at"], row["retry_at"], row["failures"]) == (linked_at, None, 0)


def _assert_wait(row: dict[str, Any], wait: tuple[timedelta, timedelta] | None) -> None:
    """Within a backoff of base and cap; without a cap it was told by WhatsApp."""
    if wait is None:
        assert row["retry_at"] is None
        return
    base, cap = wait
    low, high = growing(base, cap, row["failures"]) if cap else (base - 10 * SECOND, base + MINUTE)
    assert low <= row["retry_at"] - row["updated_at"] <= high


def test_a_ban_says_what_for(line: Line, stack: Stack) -> None:
    line.fault("login", action="failure", code=402, attrs={"code": "101", "expire": "3600"})
    line.cut()
    row = line.until("blocked", "banned_temporarily")
    assert "too many people who do not have it among their contacts" in row["state_detail"]
    loud = [one for one in stack.log("session-1").splitlines() if "session.needs_attention" in one and line.session in one]
    assert len(loud) == 1 and '"level": "error"' in loud[0]


def test_401_ends_the_link_keeps_the_queue_and_says_that_a_restriction_came_first(line: Line, stack: Stack) -> None:
    line.greet()
    stack.network.post(f"/api/accounts/{quote(line.number)}/restrictions", {"timelock": {"active": True}, "push": True})
    eventually(lambda: _restrictions(line), what="the restriction")
    line.fault("login", action="failure", code=401)
    line.cut()
    assert line.until("logged_out", "logged_out")["retry_at"] is None
    eventually(lambda: line.row["linked_at"] is None, what="the link to be given up, once its keys are")
    waiting = line.send("kept")
    event = stack.sql("SELECT detail FROM wa_session_event WHERE session_id = %s AND detail->>'to' = 'logged_out'", line.session)
    assert event[0]["detail"]["restricted_before"] is True
    keys = "SELECT 1 FROM bridge_key WHERE session_id = %s"
    eventually(lambda: not stack.sql(keys, line.session), what="the keys to be wiped")
    assert line.message(waiting)["status"] == "queued"

    line.link()
    line.sent(waiting)
    assert line.shown() == [("kept", 1)]


def _restrictions(line: Line) -> list[dict[str, Any]]:
    events = "SELECT kind, detail FROM wa_session_event WHERE session_id = %s AND kind IN ('number_restricted', 'chat_cap')"
    told = line.stack.sql(events, line.session)
    return [one for one in told if one["detail"].get("active") or one["detail"].get("status", "none") != "none"]


def test_a_time_lock_and_a_quota_that_are_pushed_are_noted(line: Line, stack: Stack) -> None:
    line.greet()
    limits = {"timelock": {"active": True}, "cap": {"status": "capped", "total": 250, "used": 250}, "push": True}
    stack.network.post(f"/api/accounts/{quote(line.number)}/restrictions", limits)
    eventually(lambda: len(_restrictions(line)) == 2, what="both")
    line.sent(line.send("to somebody who is known, still"))


@pytest.mark.parametrize(
    ("status", "held", "goes"),
    [
        pytest.param("capped", ("urgent", "normal"), (), id="capped"),
        pytest.param("second_warning", ("normal",), ("urgent",), id="second-warning"),
        pytest.param("first_warning", (), ("normal",), id="first-warning"),
    ],
)
def test_the_limit_of_new_chats_holds_strangers_until_its_cycle_ends(
    line: Line, stack: Stack, status: str, held: tuple[str, ...], goes: tuple[str, ...]
) -> None:
    ends = datetime.now(UTC).replace(microsecond=0) + HOUR
    cap = {"status": status, "total": 250, "used": 240, "cycle_ends_at": ends.isoformat()}
    stack.network.post(f"/api/accounts/{quote(line.number)}/restrictions", {"cap": cap, "push": True})
    eventually(lambda: line.row["standing"].get("cap", {}).get("status") == status.upper(), what="the limit")
    regular = Line.make(stack, line.api).customer
    line.greet()
    line.sent(line.send("to a regular"))  # for this its owner has read the row: it knows of the limit now
    waiting = [line.send(priority, to=regular, priority=priority) for priority in held]
    line.sent(*(line.send(priority, to=Line.make(stack, line.api).customer, priority=priority) for priority in goes))
    for message in waiting:
        shown = line.api.get(f"/api/v1/messages/{message}")
        assert (shown["status"], shown["attempts"]) == ("queued", 0)
        assert shown["hold_reason"] in ("new_chat_cap", "new_chat_warning")
        assert datetime.fromisoformat(shown["hold_until"]) >= ends


def _lock(line: Line, until: datetime, *, push: bool = False, active: bool = True) -> None:
    lock = {"active": active, "until": until.isoformat(), "enforce": True}
    line.stack.network.post(f"/api/accounts/{quote(line.number)}/restrictions", {"timelock": lock, "push": push})


def _lock_until(line: Line) -> datetime:
    return datetime.fromisoformat(line.row["standing"]["time_lock"]["until"])


def test_whatsapp_is_asked_when_a_time_lock_is_said_to_end_and_its_answer_counts(line: Line, stack: Stack) -> None:
    """A minute after the login, at which it was asked, too. Of one number it is off by then, of the other it goes on."""
    other = Line.make(stack, line.api).link()
    until, later = (datetime.now(UTC).replace(microsecond=0) + span for span in (4 * SECOND, HOUR))
    for one in (line, other):
        eventually(lambda one=one: one.asked("w:mex") == 2, what="what is asked at each login")  # type: ignore[misc]
        one.greet()
        _lock(one, until, push=True)
        eventually(lambda one=one: _restrictions(one), what="the restriction")  # type: ignore[misc]
        one.sent(one.send("to a regular"))  # for this its owner has read the row: it knows of the lock now
    stranger, still = line.send("it is off", to=other.customer), other.send("it goes on", to=line.customer)
    _lock(line, until, active=False)
    _lock(other, later)

    eventually(lambda: line.message(stranger)["status"] in SENT, what="the end of the hold", timeout=90)
    row, answered = line.message(stranger), datetime.fromisoformat(line.row["standing"]["time_lock"]["at"])
    assert answered >= until and answered <= row["sent_at"] < answered + 5 * SECOND, "at once, not ten minutes after the end"
    assert (row["attempts"], line.asked("w:mex")) == (1, 4), "the time-lock and the quota, once"
    eventually(lambda: _lock_until(other) == later, what="the new end", timeout=30)
    assert (other.message(still)["attempts"], other.asked("w:mex")) == (0, 4)
    shown = other.api.get(f"/api/v1/messages/{still}")
    assert shown["hold_reason"] == "time_lock" and datetime.fromisoformat(shown["hold_until"]) > later
    other.let_go()


# --- The connection ends: 408, 428, 440, 500, 503, 515

ENDS: list[Any] = [
    pytest.param({"code": 408}, "timed_out", id="408"),
    pytest.param({}, "connection_lost", id="428"),
    pytest.param({"code": 500}, "server_error", id="500"),
    pytest.param({"reason": "ack"}, "server_error", id="500-ack"),
    pytest.param({"code": 503}, "unavailable", id="503"),
    pytest.param({"code": 515}, "restart_required", id="515"),
]


@pytest.mark.parametrize(("how", "reason"), ENDS)
def test_a_connection_that_ends_comes_back_by_itself(line: Line, how: dict[str, Any], reason: str) -> None:
    linked_at = line.row["linked_at"]
    line.cut(**how)
    eventually(lambda: line.ended() == [reason], what=f"{reason}, not {line.ended()}")
    waiting = [line.send("one"), line.send("two")]
    line.until("connected")
    line.sent(*waiting)
    assert line.shown() == [("one", 1), ("two", 1)]
    assert line.row["linked_at"] == linked_at


def test_440_is_not_fought_and_each_time_less(line: Line) -> None:
    for failures in (1, 2):
        line.cut(reason="replaced")
        row = line.until("disconnected", "replaced")
        assert row["failures"] == failures
        _assert_wait(row, (30 * SECOND, 30 * MINUTE))
        line.heal()
    line.sent(line.send("ours again"))
    assert line.shown() == [("ours again", 1)]


def test_a_passkey_ends_linking_in_plain_words(stack: Stack, api: Json) -> None:
    line = Line.make(stack, api)
    stack.network.post("/api/faults", {"on": "connect", "do": {"action": "ask_passkey"}})
    api.post(f"/api/v1/sessions/{line.session}/link", {"method": "qr"})
    row = line.until("unlinked", "passkey_required")
    assert "passkey" in row["state_detail"]
    eventually(lambda: line.row["link_until"] is None, what="the end of the wish")
    assert (row["qr"], line.row["qr"]) == ("", "")


def test_a_login_that_fails_for_ever_settles_at_the_cap_and_says_why(line: Line, stack: Stack) -> None:
    """503, then 500, then nobody there: one row of failures. What a long night leaves behind is written into the row."""
    line.fault("login", times=0, action="failure", code=503)
    line.cut()
    line.until("disconnected", "unavailable")
    line.let_go()
    stack.sql("UPDATE wa_session SET failures = 11, retry_at = NULL WHERE id = %s", line.session)
    line.start()

    def settled(reason: str, failures: int) -> None:
        eventually(lambda: line.row["failures"] == failures, what=f"failure {failures}", timeout=30)
        row = line.until("disconnected", reason)
        _assert_wait(row, (SECOND, 5 * MINUTE))
        assert 149 * SECOND <= row["retry_at"] - row["updated_at"] <= 301 * SECOND
        assert row["state_detail"] and row["linked_at"]

    settled("unavailable", 12)
    stack.network.delete("/api/faults")
    line.fault("login", times=0, action="failure", code=500)
    line.restart()
    settled("server_error", 13)
    stack.stop("simulator")
    line.restart()
    settled("connect_failed", 14)
    stack.start("simulator")
    line.restart()
    line.until("connected")
    assert line.row["failures"] == 0


# --- The server refuses a message


def test_463_is_final_at_once_and_the_time_lock_is_asked_for_once(line: Line, stack: Stack) -> None:
    stack.network.post(f"/api/accounts/{quote(line.number)}/restrictions", {"timelock": {"active": True}})
    eventually(lambda: line.asked("w:mex") == 2, what="what is asked at each login")
    line.fault("message", action="ack_error", code=463)
    refused, next_one = line.send("one"), line.send("two")
    row = line.until_message(refused, "failed")
    assert (row["error_code"], row["attempts"], row["hold_until"]) == ("wa_463", 1, None)
    eventually(lambda: _restrictions(line), what="the time-lock in the activity log")
    assert line.asked("w:mex") == 4, "the time-lock and the quota"
    eventually(lambda: "time_lock" in line.row["standing"], what="the time-lock in what is known of the number")
    assert line.message(next_one)["attempts"] == 0, "strangers wait"
    line.greet()  # who writes may be answered, whatever holds strangers
    line.sent(next_one)
    assert line.shown() == [("two", 1)]


@pytest.mark.parametrize(
    ("code", "times", "wait"),
    [
        pytest.param(479, 1, 30 * SECOND, id="479"),
        pytest.param(400, 2, 3 * MINUTE, id="400"),  # the bridge tries the number itself, once
        pytest.param(420, 1, 3 * MINUTE, id="420"),
        pytest.param(421, 1, 3 * MINUTE, id="421"),
        pytest.param(475, 1, 3 * MINUTE, id="475"),
    ],
)
def test_an_unclear_refusal_has_one_more_try_and_holds_up_nobody(
    line: Line, code: int, times: int, wait: timedelta, stack: Stack
) -> None:
    other = Line.make(stack, line.api).customer
    line.sent(line.send("before"), line.send("before", to=other))  # both are known
    line.fault("message", times=times, match={"to": line.customer}, action="ack_error", code=code)
    refused = line.send("refused")
    row = line.until_message(refused, "queued", attempts=1)
    known = line.asked("usync")
    assert (row["hold_reason"], row["error_code"], row["attempts"]) == (f"wa_{code}", f"wa_{code}", 1)
    assert wait / 2 - SECOND <= row["hold_until"] - row["status_at"] <= wait + SECOND
    line.sent(line.send("meanwhile", to=other))
    own = 1 if code == 479 else 0  # it may have been one of our own devices that is gone
    assert line.asked("usync") == known + own, "a known contact costs no query"

    line.hurry(refused)
    line.sent(refused)
    assert (line.message(refused)["attempts"], line.message(refused)["wa_id"]) == (2, row["wa_id"])
    assert (line.asked("usync") > known + own) == (code == 479), "the devices are looked up anew, after 479 alone"
    assert line.shown() == [("before", 1), ("refused", 1)]
    assert line.shown(other) == [("before", 1), ("meanwhile", 1)]

    line.fault("message", times=2 * times, match={"to": line.customer}, action="ack_error", code=code)
    never = line.send("never")
    line.until_message(never, "queued", attempts=1)
    line.hurry(never)
    row = line.until_message(never, "failed")
    assert (row["error_code"], row["attempts"]) == (f"wa_{code}", 2)


def test_a_code_that_nobody_knows_is_final_and_kept(line: Line) -> None:
    line.fault("message", action="ack_error", code=499)
    refused, fine = line.send("refused"), line.send("fine")
    line.sent(fine)
    row = line.message(refused)
    assert (row["status"], row["error_code"], row["attempts"]) == ("failed", "wa_499", 1)
    assert line.shown() == [("fine", 1)]


@pytest.mark.parametrize(
    ("fault", "reason", "wait"),
    [
        pytest.param({"on": "message", "action": "ack_error", "code": 429}, "wa_429", (10 * MINUTE, 20 * MINUTE), id="ack"),
        pytest.param({"on": "message", "action": "ack_error", "code": 503}, "wa_503", (MINUTE, 10 * MINUTE), id="503"),
    ],
)
def test_what_concerns_the_number_holds_the_session_and_nothing_overtakes(
    line: Line, stack: Stack, fault: dict[str, Any], reason: str, wait: tuple[timedelta, timedelta]
) -> None:
    line.fault(**fault)
    first = line.send("first")
    row = line.until_message(first, "queued", attempts=1)
    assert (row["hold_reason"], row["attempts"]) == (reason, 1)
    second = line.send("second")
    session = line.row
    low, high = growing(*wait, 1)
    assert low <= session["next_send_at"] - row["status_at"] <= high
    assert (session["state"], line.message(second)["attempts"]) == ("connected", 0)
    line.sent(Line.make(stack, line.api).link().send("another number is not concerned"))
    assert line.message(second)["attempts"] == 0

    line.let_go()  # its owner keeps the slot in its memory, the next one reads the row
    stack.sql("UPDATE wa_session SET next_send_at = clock_timestamp() WHERE id = %s", line.session)
    line.hurry(first)
    line.start()
    line.sent(first, second)
    assert line.shown() == [("first", 1), ("second", 1)]


def test_too_many_lookups_hold_strangers_and_nothing_overtakes(line: Line, stack: Stack) -> None:
    line.fault(on="query", match=USYNC, action="iq_error", code=429, text="rate-overlimit")
    first = line.send("first")
    row = line.until_message(first, "queued", attempts=1)
    low, high = growing(10 * MINUTE, 15 * MINUTE, 1)
    assert row["hold_reason"] == "rate_limited" and low <= row["hold_until"] - row["status_at"] <= high
    asked, second = line.asked("usync"), line.send("second")
    line.sent(Line.make(stack, line.api).link().send("another number is not concerned"))
    assert (line.message(second)["attempts"], line.asked("usync")) == (0, asked), "no lookup while it lasts"
    line.let_go()
    line.start()
    line.sent(first, second)
    assert line.shown() == [("first", 1), ("second", 1)]


# --- No answer to a message


@pytest.mark.parametrize(
    ("fault", "reason", "copies"),
    [
        pytest.param({"on": "ack", "action": "drop"}, "ack_timeout", 2, id="no-ack"),
        pytest.param({"on": "message", "action": "drop"}, "ack_timeout", 1, id="lost"),
        pytest.param({"on": "ack", "action": "terminate", "moment": "before"}, "connection_lost", 2, id="cut-before-the-ack"),
        pytest.param({"on": "message", "action": "terminate"}, "connection_lost", 1, id="cut-and-lost"),
    ],
)
def test_without_an_answer_it_is_uncertain_and_goes_again_first_on_a_new_connection(
    line: Line, fault: dict[str, Any], reason: str, copies: int, stack: Stack
) -> None:
    stack.network.patch(
        f"/api/phones/{quote(line.customer)}", {"settings": {"delivery_receipts": False}}
    )  # else it is settled by one
    line.fault(**fault)
    first, second = line.send("first"), line.send("second")
    timeline = "SELECT status, detail->>'reason' AS why FROM message_event WHERE message_id = %s ORDER BY id"
    line.sent(first, second)
    steps = [(one["status"], one["why"]) for one in stack.sql(timeline, first)]
    assert steps[1:4] == [("sending", None), ("uncertain", reason), ("sending", None)]
    assert (line.message(first)["attempts"], line.message(second)["attempts"]) == (2, 1)
    assert line.shown() == [("first", copies), ("second", 1)]
    assert line.row["state"] == "connected"


def test_an_ack_that_came_before_the_cut_counts(line: Line) -> None:
    line.fault("ack", action="terminate", moment="after")
    first, second = line.send("first"), line.send("second")
    line.sent(first, second)
    assert line.message(first)["attempts"] == 1
    assert line.shown() == [("first", 1), ("second", 1)]
