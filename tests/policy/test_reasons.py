"""Why a message waits, and until when: each rule names itself, and every waiting message has a reason."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restaurant_wa.local.places import BASE_DIR
from sessions_app.policy import retry
from sessions_app.policy.availability import Gates, Ready, explain, gates, slot_at, when
from sessions_app.policy.lanes import Lane
from sessions_app.policy.ledger import Ledger, noted
from sessions_app.policy.local_time import wall
from sessions_app.policy.pacing import Pace
from sessions_app.policy.priorities import Priority
from sessions_app.policy.reasons import Held, Reason, longest, sentence
from sessions_app.policy.rules import COLD, LanePolicy, Number, Policy, policy
from sessions_app.policy.signals import Ban, CapStatus, Known, NewChatCap, TimeLock
from sessions_app.policy.warmup import WarmUp
from sessions_app.policy.windows import Quiet
from tests.policy.strategies import (
    NOW,
    OLD,
    lanes,
    ledger_with,
    priorities,
    situations,
    unlimited,
)

BERLIN = ZoneInfo("Europe/Berlin")
DAY = timedelta(days=1)
MS = timedelta(milliseconds=1)


def held(lane: Lane = Lane.NEW, priority: Priority = Priority.NORMAL, **given: object) -> Held:
    asked = {"ledger": Ledger(), "policy": unlimited(), "number": OLD, "now": NOW, **given}
    answer = when(lane, priority, **asked)  # type: ignore[arg-type]
    assert isinstance(answer, Held)
    return answer


def test_a_new_number_says_that_it_is_new() -> None:
    new = Number(WarmUp(wall(NOW, BERLIN).date()))
    rules = policy(BERLIN, cold=LanePolicy(COLD.pace, 100, 80))
    midnight = datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert held(ledger=ledger_with(10, Lane.NEW), policy=rules, number=new) == Held(Reason.WARM_UP, midnight)
    assert held(ledger=ledger_with(80, Lane.NEW), policy=rules) == Held(Reason.DAILY_LIMIT, midnight)
    assert isinstance(when(Lane.NEW, Priority.LOW, ledger=ledger_with(9, Lane.NEW), policy=rules, number=new, now=NOW), Ready)


def test_the_hour_opens_when_its_first_message_leaves_it() -> None:
    rules = policy(BERLIN, warm=LanePolicy(Pace(0, 0), 10, 1_000))
    assert held(Lane.WARM, ledger=ledger_with(10, Lane.WARM), policy=rules) == Held(
        Reason.HOURLY_LIMIT, NOW + timedelta(minutes=50)
    )


def test_quiet_hours_let_urgent_ones_through_where_the_restaurant_says_so() -> None:
    night = datetime(2026, 6, 1, 21, tzinfo=UTC)
    quiet = Quiet(time(22), time(8))
    rules = policy(BERLIN, quiet=quiet, urgent_through_quiet=True)
    morning = datetime(2026, 6, 2, 6, tzinfo=UTC)
    assert held(Lane.WARM, Priority.HIGH, policy=rules, now=night) == Held(Reason.QUIET_HOURS, morning)
    asked = {"ledger": Ledger(), "number": OLD, "now": night}
    assert when(Lane.WARM, Priority.URGENT, policy=rules, **asked) == Ready(night)  # type: ignore[arg-type]
    assert held(Lane.WARM, Priority.URGENT, policy=policy(BERLIN, quiet=quiet), now=night).reason is Reason.QUIET_HOURS
    assert gates(policy=rules, **asked) == Gates(Priority.URGENT, Priority.URGENT, Priority.URGENT)  # type: ignore[arg-type]


def test_send_windows_hold_even_urgent_ones() -> None:
    rules = policy(BERLIN, windows={0: [(time(9), time(17))]}, urgent_through_quiet=True)
    monday = datetime(2026, 3, 30, 7, tzinfo=UTC)
    assert held(Lane.WARM, Priority.URGENT, policy=rules) == Held(Reason.SEND_WINDOW, monday)


def test_a_hold_that_ends_at_night_goes_on_in_the_morning_and_says_why_it_began() -> None:
    rules = policy(BERLIN, quiet=Quiet(time(22), time(8)))
    locked = replace(OLD, known=Known(time_lock=TimeLock(NOW, active=True, until=datetime(2026, 3, 29, 1, 30, tzinfo=UTC))))
    assert held(policy=rules, number=locked) == Held(Reason.TIME_LOCK, datetime(2026, 3, 29, 6, tzinfo=UTC))


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (Known(ban=Ban(NOW, NOW + DAY)), Reason.BANNED),
        (Known(time_lock=TimeLock(NOW, active=True, until=NOW + DAY)), Reason.TIME_LOCK),
        (Known(cap=NewChatCap(NOW, CapStatus.CAPPED, 9, 9, NOW + DAY)), Reason.NEW_CHAT_CAP),
        (Known(cap=NewChatCap(NOW, CapStatus.SECOND_WARNING, 8, 9, NOW + DAY)), Reason.NEW_CHAT_WARNING),
        (Known(refused=(NOW,)), Reason.ASKING),
    ],
)
def test_each_restriction_names_itself(known: Known, reason: Reason) -> None:
    assert held(number=replace(OLD, known=known)).reason is reason


def test_a_warning_doubles_the_pause_between_strangers() -> None:
    warned = replace(OLD, known=Known(cap=NewChatCap(NOW, CapStatus.FIRST_WARNING, 7, 9, NOW + DAY)))
    ledger = noted(Ledger(), Lane.NEW, at=NOW, jitter=0.5, policy=unlimited())
    asked = {"ledger": ledger, "policy": unlimited(), "now": NOW}
    assert slot_at(Lane.NEW, number=OLD, **asked) == NOW + timedelta(seconds=40)  # type: ignore[arg-type]
    assert slot_at(Lane.NEW, number=warned, **asked) == NOW + timedelta(seconds=80)  # type: ignore[arg-type]
    assert slot_at(Lane.WARM, number=warned, **asked) == NOW + timedelta(seconds=6)  # type: ignore[arg-type]


@given(situation=situations(), lane=lanes, priority=priorities, ahead=st.integers(0, 3), own=st.integers(-5, 900))
def test_every_waiting_message_has_a_reason_and_a_time(
    situation: tuple[Ledger, Policy, Number], lane: Lane, priority: Priority, ahead: int, own: int
) -> None:
    ledger, rules, number = situation
    answer = when(lane, priority, ledger=ledger, policy=rules, number=number, now=NOW)
    gap = Held(Reason.RECIPIENT_GAP, NOW + timedelta(seconds=own))
    why = explain(answer, ahead=ahead, expected_at=NOW + DAY, now=NOW, own=gap)
    assert why.until >= NOW
    if own > 0 or isinstance(answer, Held):
        assert why.until == max(gap.until, answer.until if isinstance(answer, Held) else NOW)
    else:
        assert (why.reason is Reason.QUEUE) == (ahead > 0)


def test_the_first_in_line_goes_after_the_pause_or_next() -> None:
    def why(at: datetime) -> Held:
        return explain(Ready(at), ahead=0, expected_at=at, now=NOW)

    assert why(NOW) == Held(Reason.NEXT, NOW)
    assert why(NOW + MS) == Held(Reason.PACE, NOW + MS)


def test_every_reason_has_a_sentence() -> None:
    told = [sentence(reason) for reason in Reason]
    assert all(text.endswith(".") for text in told)
    assert len(set(told)) == len(told)
    assert all(sentence(code) == text for code, text in retry.sentences().items())
    assert sentence("wa_479") and sentence("not_connected") and sentence("ack_timeout")
    assert sentence("nobody knows this") == ""


def test_every_reason_stands_in_the_docs() -> None:
    """With what mends it, where somebody looks for it."""
    docs = (BASE_DIR / "docs" / "troubleshooting.md").read_text()
    table = docs.split("## A message does not go out")[1].split("\n## ")[0]
    assert [reason for reason in Reason if f"`{reason}`" not in table] == []


def test_the_hold_that_ends_last_is_told() -> None:
    soon, late = Held(Reason.RECIPIENT_GAP, NOW), Held(Reason.TIME_LOCK, NOW + timedelta(days=1))
    assert longest([soon, late]) is late
    assert longest([]) is None
