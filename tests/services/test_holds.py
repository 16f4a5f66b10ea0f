"""What waits for a time of its own is out of its lane's line until then, and takes its place in it afterwards."""

from typing import Any

import pytest

from sessions_app.models import Message, Session
from sessions_app.services import claims, estimates, holds, lanes, messages
from sessions_app.services.ownership import Claimed, Registration
from tests.support.claiming import (
    COLD,
    NEW,
    WARM,
    claim,
    contact,
    explained,
    fresh,
    know_many,
    numbers,
    pile_up,
    rows_read,
    sent,
    settle,
    wait_is_over,
)
from tests.support.owning import ago, queued

LATER: dict[str, Any] = {"held": True, "not_before": ago(hours=-1), "hold_until": ago(hours=-1), "hold_reason": "identical_text"}


def tried_again_later(me: Registration, mine: Claimed, message: Message) -> None:
    got = claim(me, mine)
    assert got is not None and got.message == message.pk
    settle(me, got, "queued", code="no_devices", not_before=ago(seconds=-60), hold_until=ago(seconds=-60))


def test_what_is_tried_again_later_takes_the_place_it_had(session: Session, me: Registration, mine: Claimed) -> None:
    first, _, _ = (queued(session, text) for text in ("first", "second", "third"))
    tried_again_later(me, mine, first)
    assert (fresh(first).status, first.held) == ("queued", True)
    assert sent(me, mine) == "second"
    wait_is_over(first)
    assert sent(me, mine) == "first" and not fresh(first).held
    assert sent(me, mine) == "third"


def test_who_asks_whether_anything_waits_is_told_of_what_was_held_for_long_enough(
    session: Session, me: Registration, mine: Claimed
) -> None:
    held = queued(session, **LATER)
    assert claims.ready(worker=me.worker, sessions=[session.pk]) == []
    wait_is_over(held)
    [waiting] = claims.ready(worker=me.worker, sessions=[session.pk])
    assert waiting == (session.pk, False, None, None, None)
    assert claim(me, mine, warm=claims.NOTHING, cold=claims.NOTHING, new=claims.NOTHING) is None
    [waiting] = claims.ready(worker=me.worker, sessions=[session.pk])
    assert waiting.warm == 2, "it is in line now, though its lane was closed"


def test_after_a_long_time_offline_they_come_in_parts(
    session: Session, me: Registration, mine: Claimed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holds, "AT_ONCE", 2)
    for text in ("a", "b", "c"):
        queued(session, text, held=True, not_before=ago(hours=1))
    claim(me, mine)
    assert Message.objects.filter(held=True).count() == 1
    assert claims.ready(worker=me.worker, sessions=[session.pk]) != []


@pytest.mark.parametrize("decide", ["warm", "again"])
def test_what_is_let_go_is_in_line_at_once(session: Session, me: Registration, mine: Claimed, decide: str) -> None:
    held = queued(session, lane=NEW, **LATER)
    if decide == "warm":
        lanes.warm(contacts=[contact(session, last_inbound_at=ago(seconds=1))])
    else:
        Message.objects.update(status="uncertain")
        messages.send_again(message=held, by="test")
    assert not fresh(held).held
    assert sent(me, mine) == held.body


# --- However much is held


def test_a_campaign_that_is_held_makes_no_claim_slow(session: Session, me: Registration, mine: Claimed) -> None:
    """100,000 of one lane, held for hours to come, before the one that may go."""
    hours = "now() + n * interval '1 second' + interval '1 hour'"
    pile_up(session, 100_000, lane="2", held="true", not_before=hours, hold_until=hours, hold_reason="'identical_text'")
    know_many(session, 1)
    for lane in (WARM, COLD, NEW):
        queued(session, lane=lane, to_phone=numbers(3)[lane])
    for statement in ("pick AS", "over AS"):
        nodes = explained(lambda: claim(me, mine, oldest=True, identical=10), statement)
        assert rows_read(nodes, "message") < 40, statement
    looks = explained(lambda: claims.ready(worker=me.worker, sessions=[session.pk]), "mine AS")
    assert rows_read(looks, "message") < 10
    Message.objects.filter(held=False).delete()
    assert rows_read(explained(lambda: claims.ready(worker=me.worker, sessions=[session.pk]), "mine AS"), "message") == 0


def test_what_is_held_stands_before_nobody(session: Session) -> None:
    for _ in range(5):
        queued(session, lane=NEW, **LATER)
    stranger = queued(session, lane=NEW)
    assert estimates.for_message(message=stranger).position == 1
