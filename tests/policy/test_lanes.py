"""A contact turns warm when it writes."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.lanes import Lane, lane_of
from tests.policy.strategies import NOW, spans


def test_a_stranger_is_cold_until_they_write() -> None:
    assert lane_of(last_inbound_at=None, now=NOW) is Lane.COLD
    assert lane_of(last_inbound_at=NOW, now=NOW) is Lane.WARM


def test_a_token_of_whatsapp_makes_warm() -> None:
    assert lane_of(last_inbound_at=None, now=NOW, trusted=True) is Lane.WARM
    assert lane_of(last_inbound_at=NOW - timedelta(days=900), now=NOW, trusted=True, warm_for=timedelta(1)) is Lane.WARM


@given(ago=spans, warm_for=st.none() | spans)
def test_it_cools_down_when_the_restaurant_says_so(ago: timedelta, warm_for: timedelta | None) -> None:
    lane = lane_of(last_inbound_at=NOW - ago, now=NOW, warm_for=warm_for)
    assert (lane is Lane.WARM) == (warm_for is None or ago <= warm_for)
