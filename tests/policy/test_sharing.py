"""Everybody has the same, as far as there is room; and few are on the move at once."""

from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.sharing import MOVING_AT_ONCE, fair_share, may_leave

rooms = st.lists(st.integers(0, 300), min_size=1, max_size=8)


def shares(capacities: list[int], wanted: int) -> list[int]:
    return [
        fair_share(capacity=own, others=capacities[:at] + capacities[at + 1 :], wanted=wanted)
        for at, own in enumerate(capacities)
    ]


def test_equal_workers_share_equally() -> None:
    assert shares([100, 100, 100, 100], 200) == [50, 50, 50, 50]
    assert shares([100, 100, 100], 200) == [67, 67, 67]


def test_what_a_small_one_has_no_room_for_goes_to_the_larger_ones() -> None:
    assert shares([10, 100, 100], 110) == [10, 50, 50]


@given(rooms, st.integers(0, 2_000))
def test_together_they_have_room_for_all_and_nobody_takes_too_many(capacities: list[int], wanted: int) -> None:
    given_out = shares(capacities, wanted)
    assert all(share <= capacity for share, capacity in zip(given_out, capacities, strict=True))
    assert min(wanted, sum(capacities)) <= sum(given_out) < wanted + len(capacities) or sum(given_out) == sum(capacities)


@given(rooms, st.integers(0, 2_000))
def test_nobody_has_more_than_another_who_has_room(capacities: list[int], wanted: int) -> None:
    given_out = shares(capacities, wanted)
    with_room = [share for share, capacity in zip(given_out, capacities, strict=True) if share < capacity]
    assert all(share <= least for share in given_out for least in with_room)


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
def test_few_are_on_the_move(surplus: int, leaving: int, moving: int) -> None:
    more = may_leave(surplus=surplus, leaving=leaving, moving=moving)
    assert more >= 0
    if more:
        assert leaving + more <= surplus
        assert leaving + moving + more <= MOVING_AT_ONCE


def test_the_move_goes_on_as_others_arrive() -> None:
    assert may_leave(surplus=50, leaving=0, moving=0) == MOVING_AT_ONCE
    assert may_leave(surplus=34, leaving=0, moving=MOVING_AT_ONCE) == 0
    assert may_leave(surplus=34, leaving=0, moving=0) == MOVING_AT_ONCE
