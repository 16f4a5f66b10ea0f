"""The guard against one text to many strangers."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.guards import IDENTICAL_WITHIN, identical_text_hold, text_key
from tests.policy.strategies import NOW


@given(ago=st.lists(st.integers(0, 180), max_size=30), limit=st.integers(1, 12))
def test_the_same_text_goes_to_fewer_than_the_limit_of_strangers_in_an_hour(ago: list[int], limit: int) -> None:
    sent_at = [NOW - timedelta(minutes=minutes) for minutes in ago]
    held = identical_text_hold(sent_at, limit=limit)

    def others(at: datetime) -> int:
        return sum(at - IDENTICAL_WITHIN < one for one in sent_at)

    may_go = held is None or held.until <= NOW
    assert may_go == (others(NOW) < limit)
    if held is not None and not may_go:
        assert others(held.until) < limit <= others(held.until - timedelta(seconds=1))


def test_texts_are_the_same_but_for_case_and_spaces() -> None:
    assert text_key("Your  order is\nready ") == text_key("your order IS ready")
    assert text_key("Your order 1001 is ready") != text_key("Your order 1002 is ready")
