"""Strict priority with ageing: nobody starves, and an urgent message waits one slot longer at most."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.priorities import EVERY, WAITED, Priority, is_the_oldests
from tests.policy.strategies import NOW, priorities

SLOT = timedelta(seconds=6)


@dataclass
class Queue:
    """As the database picks: by priority and order, or the one that has waited longest."""

    waiting: list[tuple[Priority, int, datetime]] = field(default_factory=list)  # priority, order, since
    turn: int = 0
    accepted: int = 0

    def put(self, priority: Priority, now: datetime) -> int:
        self.accepted += 1
        self.waiting.append((priority, self.accepted, now))
        return self.accepted

    def take(self, now: datetime) -> int:
        oldest = min(self.waiting, key=lambda message: message[2:] + message[1:2])
        chosen = oldest if is_the_oldests(self.turn) and now - oldest[2] > WAITED else min(self.waiting)
        self.turn += 1
        self.waiting.remove(chosen)
        return chosen[1]


def test_one_slot_in_four() -> None:
    assert [is_the_oldests(turn) for turn in range(8)] == [False, False, False, True] * 2


@given(turn=st.integers(0, 3), backlog=st.lists(priorities, max_size=20), age=st.integers(0, 3_600))
def test_an_urgent_message_waits_for_one_other_at_most(turn: int, backlog: list[Priority], age: int) -> None:
    queue, now = Queue(turn=turn), NOW
    for priority in backlog:
        queue.put(max(priority, Priority.HIGH), NOW - timedelta(seconds=age))
    urgent = queue.put(Priority.URGENT, now)
    assert urgent in [queue.take(now + n * SLOT) for n in range(min(2, len(queue.waiting)))]


def test_a_low_message_goes_out_under_an_endless_stream_of_urgent_ones() -> None:
    queue, now = Queue(), NOW
    low = [queue.put(Priority.LOW, now) for _ in range(10)]
    gone: list[int] = []
    for _ in range(100 + EVERY * len(low)):
        queue.put(Priority.URGENT, now)
        now += SLOT
        gone.append(queue.take(now))
    assert [one for one in gone if one in low] == low
    assert gone.index(low[0]) >= WAITED / SLOT - 1  # and not before it has waited


@given(mix=st.lists(priorities, min_size=1, max_size=30))
def test_without_long_waits_it_is_strictly_by_priority_and_order(mix: list[Priority]) -> None:
    queue = Queue()
    order = {queue.put(priority, NOW): priority for priority in mix}
    gone = [queue.take(NOW + SLOT) for _ in mix]
    assert gone == sorted(order, key=lambda one: (order[one], one))
