"""One text to many strangers: so many an hour, whatever is written differently in it, and the rest held together."""

from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessions_app.models import Message, Restaurant, Session
from sessions_app.policy.guards import identical_text_hold, text_key
from sessions_app.services import sessions
from sessions_app.services.claims import NOTHING
from sessions_app.services.guards import LOOKED_THROUGH
from sessions_app.services.ownership import Claimed, Registration
from tests.support.claiming import (
    COLD,
    HOUR,
    NEW,
    PHONE,
    WARM,
    claim,
    crowd,
    explained,
    fresh,
    know_many,
    numbers,
    pile_up,
    rows_read,
    sent,
    undone,
    wait_is_over,
)
from tests.support.owning import ago, queued, timeline


def told(session: Session, *minutes_ago: float, lane: int = COLD, body: str = "offer", to: str | None = None) -> list[Message]:
    """So many strangers got the text, each a while ago."""
    return [
        queued(session, body, lane=lane, status="sent", sent_at=ago(minutes=minutes), to_phone=to or numbers(50)[40 + n])
        for n, minutes in enumerate(minutes_ago)
    ]


@pytest.mark.parametrize("lane", [COLD, NEW])
def test_one_text_goes_to_so_many_strangers_an_hour(session: Session, me: Registration, mine: Claimed, lane: int) -> None:
    _, second, _ = told(session, 59, 30, 10)
    held = queued(session, "offer", lane=lane)
    assert sent(me, mine, identical=2) == "held"
    assert second.sent_at is not None
    assert (fresh(held).hold_reason, held.hold_until) == ("identical_text", second.sent_at + HOUR)
    assert (held.status, timeline(held)) == ("queued", [])
    Message.objects.filter(status="sent").update(sent_at=ago(minutes=61))
    wait_is_over(held)
    assert sent(me, mine, identical=2) == "offer"


def test_one_text_to_very_many_is_held_in_a_few_claims(session: Session, me: Registration, mine: Claimed) -> None:
    """In their order, so many an hour; and nothing else with them."""
    Restaurant.objects.update(identical_limit=10)
    first = told(session, *range(55, 45, -1))[0].sent_at
    pile_up(session, 2_500, lane="2", body="CASE mod(n, 2) WHEN 0 THEN 'offer' ELSE ' Offer ' END")
    others = [
        queued(session, text, lane=lane, priority=3, to_phone=PHONE)
        for text, lane in (("offer", WARM), ("offer", COLD), ("another offer", NEW))
    ]
    shut = {"warm": NOTHING, "cold": NOTHING, "identical": 10}
    assert [sent(me, mine, **shut) for _ in range(4)] == ["held", "held", "held", "another offer"]
    held = Message.objects.filter(hold_reason="identical_text").order_by("seq")
    until = list(held.values_list("hold_until", flat=True))
    assert first is not None and len(until) == 2_500
    assert until[:1_001] == [first + HOUR * (1 + place // 10) for place in range(1_001)]
    assert not held.exclude(hold_until=F("not_before")).exists()
    assert [fresh(one).hold_reason for one in others] == [""] * 3


def test_what_is_held_as_one_text_to_many_waits_for_nobody(
    transactional_db: None, session: Session, me: Registration, mine: Claimed
) -> None:
    """Whose customer is writing, or who is being withdrawn, at this moment has their own turn."""
    Restaurant.objects.update(identical_limit=1)
    told(session, 50)
    _, writing, waiting = (queued(session, "offer", lane=NEW, to_phone=to) for to in numbers(3))
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as other:
        other.execute("SELECT id FROM message WHERE id = %s FOR UPDATE", [writing.pk])
        assert sent(me, mine, identical=1) == "held"
        other.rollback()
    assert [fresh(one).hold_reason for one in (writing, waiting)] == ["", "identical_text"]


@pytest.mark.parametrize("now", [{"identical_limit": 2}, {"protect_strangers": False}, {"identical_limit": None}])
def test_an_owner_that_goes_by_an_old_limit_holds_one_alone(
    session: Session, me: Registration, mine: Claimed, now: dict[str, Any]
) -> None:
    Restaurant.objects.update(**now)
    told(session, 50)
    _, waiting = (queued(session, "offer", lane=NEW, to_phone=to) for to in numbers(2))
    assert sent(me, mine, identical=1) == "held"
    assert fresh(waiting).hold_reason == ""


WRITTEN = ["Your offer", "your  OFFER", " your\noffer ", "your offer!"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sends=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 90), st.sampled_from(WRITTEN)), max_size=12),
    limit=st.integers(1, 4),
)
def test_the_claim_follows_the_rule_for_one_text(
    session: Session, me: Registration, mine: Claimed, sends: list[tuple[int, int, str]], limit: int
) -> None:
    """To whom, how many minutes ago, and how it was written: as `policy.guards` has it."""
    now, same = timezone.now(), list[datetime]()
    with undone():
        for who, minutes, text in sends:
            at, to = now - timedelta(minutes=minutes, seconds=30), numbers(10)[who]
            queued(session, text, lane=COLD, status="sent", sent_at=at, to_phone=to)
            if text_key(text) == text_key("Your offer"):
                same.append(at)
        message = queued(session, "Your offer", lane=COLD, to_phone=numbers(10)[9])
        hold = identical_text_hold(same, limit=limit)
        expected = hold is not None and hold.until > now
        assert sent(me, mine, identical=limit) == ("held" if expected else "Your offer")
        if expected and hold is not None:
            assert fresh(message).hold_until == hold.until


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"identical": 4}, "fewer than the limit"),
        ({"identical": None}, "no limit"),
        ({"identical": 3, "lane": WARM}, "no stranger"),
        ({"identical": 3, "body": "another offer"}, "another text"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_other_messages_are_free(session: Session, me: Registration, mine: Claimed, given: dict[str, Any], what: str) -> None:
    told(session, 50, 30, 10)
    assert sent(me, mine, identical=3) == "nothing"
    message = queued(session, given.get("body", "offer"), lane=given.get("lane", COLD))
    assert sent(me, mine, identical=given["identical"]) == message.body, what


@pytest.mark.parametrize("given", [{"lane": WARM}, {"to": PHONE}], ids=["regulars", "the same customer"])
def test_only_other_strangers_count(session: Session, me: Registration, mine: Claimed, given: dict[str, Any]) -> None:
    told(session, 30, 20, 10, **given)
    queued(session, "offer", lane=COLD)
    assert sent(me, mine, identical=1) == "offer"


def test_another_numbers_offers_do_not_count(session: Session, me: Registration, mine: Claimed) -> None:
    told(sessions.create(restaurant=session.restaurant, name="second"), 30, 20, 10)
    queued(session, "offer", lane=COLD)
    assert sent(me, mine, identical=1) == "offer"


# --- However much waits


def test_a_long_queue_makes_it_no_slower_to_hold_one_text(session: Session, me: Registration, mine: Claimed) -> None:
    crowd(session)
    Restaurant.objects.update(identical_limit=10)
    nodes = explained(lambda: claim(me, mine, identical=10, warm=NOTHING), "alike AS")
    assert rows_read(nodes, "message") < 4 * LOOKED_THROUGH


def test_years_of_strangers_make_no_claim_slow(session: Session, me: Registration, mine: Claimed) -> None:
    """Who had the same text within an hour is asked of that hour alone."""
    pile_up(session, 50_000, status="'read'", sent_at="now() - n * interval '10 minutes'", lane="1", body="'offer ' || n")
    know_many(session, 1)
    queued(session, "hello", lane=NEW)
    nodes = explained(lambda: claim(me, mine, identical=10))
    assert rows_read(nodes, "message") < 40
