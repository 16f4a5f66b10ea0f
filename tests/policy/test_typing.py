"""Typing lies inside the pause: it costs nothing, and nothing goes before its slot."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.pacing import History, Pace, delay_ms, next_send_at
from sessions_app.policy.typing import claim_at, typing_ms, typing_plan
from tests.policy.strategies import NOW, jitters, paces

MS = timedelta(milliseconds=1)
lengths = st.integers(0, 8_000)
offsets = st.integers(-20_000, 20_000).map(lambda ms: ms * MS)


@given(characters=st.integers(0, 4_000), per_character=st.integers(0, 100), limit=st.integers(0, 5_000))
def test_it_grows_with_the_text_up_to_the_limit(characters: int, per_character: int, limit: int) -> None:
    shown = typing_ms(characters, per_character_ms=per_character, limit_ms=limit)
    assert 0 <= shown <= limit
    assert shown <= typing_ms(characters + 1, per_character_ms=per_character, limit_ms=limit)


@given(pace=paces, jitter=jitters, typing=lengths, limit=lengths)
def test_in_a_busy_session_the_pause_is_the_one_that_was_drawn(pace: Pace, jitter: float, typing: int, limit: int) -> None:
    slot = next_send_at(pace, History(NOW), NOW, jitter)
    claimed = max(NOW, claim_at(slot=slot, last_sent_at=NOW, limit_ms=limit))
    plan = typing_plan(slot=slot, now=claimed, last_sent_at=NOW, typing_ms=min(typing, limit))
    assert plan.send_at == slot
    assert plan.start_at >= claimed
    assert plan.typing_ms == min(typing, limit, delay_ms(pace, jitter))


@given(slot=offsets, last=st.none() | st.integers(0, 60_000), typing=lengths)
def test_nothing_goes_before_its_slot_nor_later_than_its_typing(slot: timedelta, last: int | None, typing: int) -> None:
    last_sent_at = None if last is None else NOW - last * MS
    plan = typing_plan(slot=NOW + slot, now=NOW, last_sent_at=last_sent_at, typing_ms=typing)
    assert plan.start_at >= NOW
    assert max(NOW, NOW + slot) <= plan.send_at <= max(NOW, NOW + slot) + typing * MS
    assert plan.send_at - plan.start_at == plan.typing_ms * MS


def test_an_idle_session_types_the_whole_of_it_first() -> None:
    plan = typing_plan(slot=NOW, now=NOW, last_sent_at=NOW - timedelta(hours=1), typing_ms=3_000)
    assert (plan.typing_ms, plan.send_at) == (3_000, NOW + 3_000 * MS)


@given(slot=st.integers(0, 60_000).map(lambda ms: NOW + ms * MS), limit=lengths)
def test_a_message_is_not_claimed_before_the_one_before_it_was_sent(slot: datetime, limit: int) -> None:
    assert NOW <= claim_at(slot=slot, last_sent_at=NOW, limit_ms=limit) <= slot
