"""What a worker asks WhatsApp of its numbers: when, how often, and how many of them at once. The clock is set by the test."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from sessions_app.models import Restaurant, Session
from sessions_app.policy.restrictions import ASK_AGAIN, DEBOUNCE
from sessions_app.policy.signals import CapStatus, Event, NewChatCap, Refused, TimeLock
from sessions_app.services import session_state, standing
from tests.policy.strategies import NOW
from tests.support.owning import connected, linked, register
from tests.support.stub_bridge import StubBridge, StubBridgeThread
from workers.bridge import Bridge
from workers.clocks import DatabaseClock, Lease
from workers.inquiries import MOST_AT_ONCE, Inquiries
from workers.pacer import number_of, of_row
from workers.table import Owned, Table, adopt

pytestmark = pytest.mark.django_db
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


class Asking:
    """Inquiries over the sessions of one worker, at times that the test names. All have logged in at `NOW`."""

    def __init__(self, host: StubBridgeThread, secret: str) -> None:
        self.stub, self._host, self._secret = host.stub, host, secret
        self.table, self._time = Table(), 0.0
        self._clock = DatabaseClock(steady=lambda: self._time)
        self._clock.sync(NOW, asked_at=0.0, answered_at=0.0)
        self.lease = Lease(ttl_s=9e9, margin_s=1.0, steady=lambda: 0.0)
        self.lease.renewed(0.0)

    def log_in(self, *many: Session) -> list[Owned]:
        me = register(ttl_s=600)
        for session in many:
            linked(session)
        connected(many[0], me)
        Session.objects.update(state="connected")
        self.worker = me.worker
        rows = sorted(session_state.load(worker=me.worker), key=lambda row: row.id)
        for row in rows:
            owned = adopt(row, of_row(row, [], NOW))
            owned.open, owned.asked_at = "connected", NOW
            self.table.add(owned)
        return list(self.table)

    def told(self, owned: Owned, *events: Event) -> None:
        standing.note(facts=[(owned.id, event) for event in events])
        [row] = session_state.load(worker=self.worker, sessions=[owned.id])
        owned.row, owned.pacer.number = row, number_of(row, NOW)

    def at(self, when: datetime) -> list[str]:
        """The sessions that are asked about when it is so late."""
        self._time = (when - NOW).total_seconds()
        before = len(self.stub.calls)
        asyncio.run(self._ask())
        return [session for verb, session, _ in self.stub.calls[before:] if verb == "ASK"]

    async def _ask(self) -> None:
        bridge = Bridge(secret=self._secret, ack_timeout_s=1.0)
        bridge.base_url = self._host.status.base_url
        self.inquiries = Inquiries(table=self.table, bridge=bridge, clock=self._clock, lease=self.lease)
        async with bridge:
            await self.inquiries.ask()


@pytest.fixture
def asking(bridge: StubBridgeThread, settings: pytest.FixtureRequest) -> Iterator[Asking]:
    yield Asking(bridge, settings.WHATSAPP_SECRET)  # type: ignore[attr-defined]


def test_once_when_it_is_said_to_end_and_again_only_after_a_quarter_of_an_hour_without_an_answer(
    session: Session, asking: Asking
) -> None:
    [owned] = asking.log_in(session)
    asking.told(owned, TimeLock(NOW, active=True, until=NOW + HOUR), NewChatCap(NOW, CapStatus.NONE))
    me = [str(session.pk)]
    assert asking.at(NOW + HOUR - SECOND) == []
    assert asking.at(NOW + HOUR) == me
    assert asking.at(NOW + HOUR + SECOND) == asking.at(NOW + HOUR + ASK_AGAIN - SECOND) == []
    assert asking.at(NOW + HOUR + ASK_AGAIN) == me

    asking.told(owned, TimeLock(NOW + HOUR + ASK_AGAIN, active=True, until=NOW + 3 * HOUR))  # it goes on
    assert asking.at(NOW + 3 * HOUR - SECOND) == []
    assert asking.at(NOW + 3 * HOUR) == me
    asking.told(owned, TimeLock(NOW + 3 * HOUR, active=False))
    assert asking.at(NOW + 900 * HOUR) == []


def test_of_free_numbers_and_of_those_that_are_not_connected_nothing_is_asked(restaurant: Restaurant, asking: Asking) -> None:
    many = asking.log_in(*(Session.objects.create(restaurant=restaurant, name=f"s{n}") for n in range(3)))
    free, away, locked = many
    asking.told(free, TimeLock(NOW, active=False), NewChatCap(NOW, CapStatus.NONE))
    for owned in (away, locked):
        asking.told(owned, TimeLock(NOW, active=True, until=NOW + HOUR))
    away.open = "connecting"
    assert asking.at(NOW + 2 * HOUR) == [str(locked.id)]


def test_a_few_at_a_time_those_first_that_have_waited_longest(restaurant: Restaurant, asking: Asking) -> None:
    count = MOST_AT_ONCE + 3
    many = asking.log_in(*(Session.objects.create(restaurant=restaurant, name=f"s{n}") for n in range(count)))
    for place, owned in enumerate(many):
        asking.told(owned, TimeLock(NOW, active=True, until=NOW + HOUR + (count - place) * SECOND))
    first, second = asking.at(NOW + 2 * HOUR), asking.at(NOW + 2 * HOUR)
    assert (len(first), len(second)) == (MOST_AT_ONCE, 3)
    assert set(second) == {str(owned.id) for owned in many[:3]}, "those that were to end last"
    assert asking.at(NOW + 2 * HOUR) == [] and set(Counter(first + second).values()) == {1}


def test_a_refusal_is_left_to_the_bridge_which_asks_once_a_minute(session: Session, asking: Asking) -> None:
    [owned] = asking.log_in(session)
    asking.at(NOW)
    first = NOW + HOUR
    asking.inquiries.refused(owned, first)
    asking.told(owned, Refused(first), TimeLock(first + SECOND, active=False))
    assert asking.at(first + 5 * SECOND) == []
    asking.inquiries.refused(owned, first + 9 * SECOND)  # the bridge has asked a moment ago, and does not ask about this one
    asking.told(owned, Refused(first + 9 * SECOND))
    assert asking.at(first + DEBOUNCE - SECOND) == []
    assert asking.at(first + DEBOUNCE) == [str(session.pk)]


def test_nothing_without_the_lease_and_a_bridge_that_refuses_costs_nobody_else_anything(
    restaurant: Restaurant, asking: Asking, stub: StubBridge
) -> None:
    many = asking.log_in(*(Session.objects.create(restaurant=restaurant, name=f"s{n}") for n in range(2)))
    for owned in many:
        asking.told(owned, TimeLock(NOW, active=True, until=NOW + HOUR))
    asking.lease.drop()
    assert asking.at(NOW + HOUR) == []
    asking.lease.renewed(0.0)
    stub.refuse_ask.add(str(many[0].id))
    assert set(asking.at(NOW + HOUR)) == {str(owned.id) for owned in many}
    assert asking.at(NOW + HOUR + SECOND) == []
