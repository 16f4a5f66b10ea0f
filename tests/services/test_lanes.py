"""Lanes: where a message waits, when it turns warm, and what the claim takes from open and closed lanes."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sessions_app.models import Contact, Message, Restaurant, Session
from sessions_app.services import claims, inbound, messages, ownership, sessions
from sessions_app.services.claims import NOTHING
from sessions_app.services.ownership import Claimed, Registration
from tests.services.test_inbound import LID, received
from tests.support.claiming import (
    COLD,
    HOUR,
    NEW,
    PHONE,
    WARM,
    acked,
    claim,
    contact,
    crowd,
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
from tests.support.owning import ago, linked_sessions, queued, timeline

OTHER = "+4915187654321"
SHUT = {"warm": NOTHING, "cold": NOTHING, "new": NOTHING}
LANES = {"warm": WARM, "cold": COLD, "new": NEW}


def enqueue(session: Session, to: str = PHONE, **more: Any) -> Message:
    return messages.enqueue(session=session, to=to, body="hi", **more).message


def writes(session: Session, **who: Any) -> None:
    assert inbound.record(bridge="b", events=[received(session, **who)])["applied"] == 1


# --- At enqueue


def test_who_has_written_is_warm_who_was_written_to_is_cold_and_the_rest_is_new(session: Session) -> None:
    wrote, written_to, seen, unknown = numbers(4)
    contact(session, wrote, last_inbound_at=ago(days=300), last_outbound_at=ago(days=1))
    contact(session, written_to, last_outbound_at=ago(days=300))
    contact(session, seen, on_whatsapp=True, checked_at=ago(days=1))
    assert [enqueue(session, to).lane for to in (wrote, written_to, seen, unknown)] == [WARM, COLD, NEW, NEW]


def test_each_number_has_strangers_of_its_own(session: Session) -> None:
    contact(session, last_inbound_at=ago(days=1))
    other = sessions.create(restaurant=session.restaurant, name="second")
    assert enqueue(other).lane == NEW


def test_a_restaurant_that_does_not_protect_strangers_has_warm_alone(session: Session) -> None:
    Restaurant.objects.update(protect_strangers=False)
    session.restaurant.refresh_from_db()
    contact(session, OTHER, last_outbound_at=ago(days=1))
    assert [enqueue(session, to).lane for to in (PHONE, OTHER)] == [WARM, WARM]


# --- Turning warm


@pytest.mark.parametrize("lane", [COLD, NEW])
def test_what_waits_turns_warm_when_its_customer_writes(session: Session, lane: Message.Lane) -> None:
    waiting, later = queued(session, lane=lane), queued(session, lane=lane, status="scheduled", not_before=ago(hours=-1))
    bobs, done = queued(session, lane=lane, to_phone=OTHER), queued(session, lane=lane, status="sent")
    writes(session, phone=PHONE)
    assert [fresh(one).lane for one in (waiting, later, bobs, done)] == [WARM, WARM, lane, lane]


def test_a_lid_alone_tells_nothing_of_a_number_until_both_are_known(session: Session) -> None:
    waiting = queued(session, lane=NEW)
    writes(session, lid=LID)
    assert fresh(waiting).lane == NEW
    writes(session, id="A2", phone=PHONE, lid=LID)
    assert fresh(waiting).lane == WARM


def test_a_lid_that_is_known_to_be_a_number_is_enough(session: Session) -> None:
    contact(session, lid=LID, last_outbound_at=ago(days=1))
    waiting = queued(session, lane=COLD)
    writes(session, lid=LID)
    assert fresh(waiting).lane == WARM


@pytest.mark.parametrize(("another_since", "lane"), [(None, WARM), (1, COLD)])
def test_a_message_that_reaches_a_lid_tells_whose_number_it_is(
    session: Session, me: Registration, mine: Claimed, another_since: int | None, lane: Message.Lane
) -> None:
    """Who wrote under it is no stranger, unless it was to another number, a day ago."""
    writes(session, lid=LID)
    Session.objects.update(history_since=another_since and ago(days=another_since))
    queued(session, lane=NEW), (second := queued(session, lane=NEW))
    acked(me, claim(me, mine) or pytest.fail("nothing to claim"), address=LID)
    session.refresh_from_db()
    assert fresh(second).lane == enqueue(session).lane == lane
    assert Contact.objects.get().lid == LID


def test_writing_to_one_number_warms_nothing_of_another(session: Session) -> None:
    other = sessions.create(restaurant=session.restaurant, name="second")
    waiting = queued(other, lane=NEW)
    writes(session, phone=PHONE)
    assert fresh(waiting).lane == NEW


@pytest.mark.parametrize("reason", ["contact_parked", "identical_text", "lookup_throttled"])
def test_what_was_held_for_a_stranger_is_free_when_they_write(
    session: Session, me: Registration, mine: Claimed, reason: str
) -> None:
    contact(session, refusals=2, parked_until=ago(hours=-40))
    waiting = queued(session, lane=COLD, hold_reason=reason, hold_until=ago(hours=-40), not_before=ago(hours=-40))
    elsewhere = queued(session, lane=COLD, hold_reason="no_devices", hold_until=ago(hours=-1), not_before=ago(hours=-1))
    writes(session, phone=PHONE)
    assert (fresh(waiting).hold_reason, waiting.hold_until) == ("", None) and waiting.not_before <= timezone.now()
    got = claim(me, mine)
    assert got and (got.message, got.status, got.refusals) == (waiting.pk, "sending", 0)
    assert (fresh(elsewhere).hold_reason, elsewhere.lane) == ("no_devices", WARM)


def test_who_writes_is_on_whatsapp_whatever_was_found_before(session: Session, me: Registration, mine: Claimed) -> None:
    contact(session, on_whatsapp=False, checked_at=ago(hours=1))
    waiting = queued(session, lane=NEW)
    writes(session, phone=PHONE)
    got = claim(me, mine)
    assert got and (got.message, got.status) == (waiting.pk, "sending")


# --- The first message to a stranger


def test_the_first_message_to_a_stranger_opens_the_chat_for_the_others(session: Session, me: Registration, mine: Claimed) -> None:
    enqueue(session)
    same, later = enqueue(session), enqueue(session, not_before=ago(hours=-1))
    somebody = enqueue(session, OTHER)
    got = claim(me, mine)
    assert got and got.lane == NEW
    assert [fresh(one).lane for one in (same, later, somebody)] == [NEW, NEW, NEW]
    acked(me, got)
    assert [fresh(one).lane for one in (same, later, somebody)] == [COLD, COLD, NEW]
    assert enqueue(session).lane == COLD


def test_a_message_that_whatsapp_refused_opens_no_chat(session: Session, me: Registration, mine: Claimed) -> None:
    queued(session, lane=NEW), queued(session, lane=NEW)
    got = claim(me, mine)
    assert got
    settle(me, got, "failed", code="wa_463", sent_at=timezone.now(), parked_until=ago(hours=-24))
    assert Message.objects.get(status="queued").lane == NEW


# --- Which lanes may send


@pytest.mark.parametrize("open_", LANES)
@pytest.mark.parametrize(("upto", "goes"), [(NOTHING, "nothing"), (0, "nothing"), (1, "high"), (2, "high"), (3, "high")])
def test_a_lane_gives_what_is_urgent_enough(
    session: Session, me: Registration, mine: Claimed, open_: str, upto: int, goes: str
) -> None:
    for number, lane in enumerate(LANES.values()):
        mine_too = lane == LANES[open_]
        queued(session, "high" if mine_too else "shut", lane=lane, priority=int(mine_too), to_phone=numbers(3)[number])
    assert sent(me, mine, **{**SHUT, open_: upto}) == goes


@pytest.mark.parametrize(("upto", "order"), [(3, ["normal", "low", "nothing"]), (2, ["normal", "nothing"])])
def test_the_least_urgent_priority_that_may_go_is_the_limit(
    session: Session, me: Registration, mine: Claimed, upto: int, order: list[str]
) -> None:
    queued(session, "low", priority=3), queued(session, "normal", priority=2)
    assert [sent(me, mine, warm=upto) for _ in order] == order


def test_the_most_urgent_of_all_open_lanes_goes_and_of_equals_the_first(
    session: Session, me: Registration, mine: Claimed
) -> None:
    for body, lane, priority in [
        ("5", WARM, 3), ("3", COLD, 2), ("4", WARM, 2), ("2", NEW, 1), ("6", NEW, 3), ("1", COLD, 0),
    ]:  # fmt: skip
        queued(session, body, lane=lane, priority=priority, to_phone=numbers(9)[int(body)])
    assert [sent(me, mine) for _ in range(7)] == ["1", "2", "3", "4", "5", "6", "nothing"]


def test_strangers_who_are_held_never_delay_regulars(session: Session, me: Registration, mine: Claimed) -> None:
    for lane in (COLD, NEW):
        for to in numbers(20):
            queued(session, "urgent", lane=lane, priority=0, to_phone=to)
    for n in range(3):
        queued(session, f"order {n}", lane=WARM, priority=3)
    shut = {**SHUT, "warm": 3}
    assert [sent(me, mine, **shut) for _ in range(4)] == ["order 0", "order 1", "order 2", "nothing"]
    assert Message.objects.filter(body="urgent", status="queued", hold_reason="").count() == 40


@pytest.mark.parametrize("resend", [True, False])
def test_an_unanswered_message_goes_first_whatever_the_lanes_say(
    session: Session, me: Registration, mine: Claimed, resend: bool
) -> None:
    """Its answer is owed, however cold or parked its customer is; and nothing else goes until it is settled."""
    Restaurant.objects.update(resend_uncertain=resend)
    contact(session, last_outbound_at=ago(seconds=1), parked_until=ago(hours=-1), opted_out_at=ago(days=1))
    queued(session, "other", lane=WARM, priority=0, to_phone=OTHER)
    queued(session, "open", lane=NEW, priority=3, status="uncertain", attempts=1, not_before=ago(seconds=1))
    got = claim(me, mine, **SHUT, gap_s=60, identical=1)
    assert (got.body, got.status, got.resend) == ("open", "sending", True) if resend and got else got is None


# --- The pause that was applied


@pytest.mark.parametrize(
    ("lane", "seconds_ago", "delay_ms"),
    [(WARM, 60, 3_000), (WARM, 25, 3_000), (WARM, 15, 0), (COLD, 60, 40_000), (NEW, 60, 40_000), (NEW, 25, 3_000), (NEW, 15, 0)],
)
def test_it_keeps_the_pause_its_lane_made_while_it_waited(
    session: Session, me: Registration, mine: Claimed, lane: int, seconds_ago: int, delay_ms: int
) -> None:
    """That after the last stranger ended half a minute ago, and that after a regular who had one since ten seconds later."""
    message = queued(session, lane=lane, not_before=ago(seconds=seconds_ago))
    pauses = {"cold_slot": ago(seconds=30), "cold_delay_ms": 40_000, "warm_slot": ago(seconds=20), "warm_delay_ms": 3_000}
    assert sent(me, mine, **pauses) == "hello"
    assert fresh(message).delay_ms == delay_ms


def test_the_first_attempts_pause_is_the_messages_own(session: Session, me: Registration, mine: Claimed) -> None:
    message = queued(session, not_before=ago(seconds=60))
    assert claim(me, mine, warm_slot=ago(seconds=30), warm_delay_ms=3_000)
    claims.give_back(worker=me.worker, sessions=[mine])
    assert claim(me, mine, warm_slot=ago(seconds=10), warm_delay_ms=9_000)
    assert fresh(message).delay_ms == 3_000


# --- Ageing


def test_what_has_waited_longest_takes_the_slot_that_is_kept_for_it(session: Session, me: Registration, mine: Claimed) -> None:
    for body, priority, minutes in (("old low", 3, 12), ("old normal", 2, 11), ("young", 3, 9)):
        queued(session, body, priority=priority, not_before=ago(minutes=minutes))
    for n in range(3):
        queued(session, f"urgent {n}", priority=0)
    order = [sent(me, mine, oldest=n % 2 == 1) for n in range(6)]
    assert order == ["urgent 0", "old low", "urgent 1", "old normal", "urgent 2", "young"]


def test_nothing_is_old_before_ten_minutes(session: Session, me: Registration, mine: Claimed) -> None:
    queued(session, "low", priority=3, not_before=ago(minutes=9.9))
    queued(session, "urgent", priority=0)
    assert sent(me, mine, oldest=True) == "urgent"


@pytest.mark.parametrize(("lane", "name"), [(COLD, "cold"), (NEW, "new")])
def test_age_opens_no_lane_that_is_shut(session: Session, me: Registration, mine: Claimed, lane: int, name: str) -> None:
    queued(session, "old", lane=lane, priority=3, not_before=ago(hours=2), to_phone=OTHER)
    queued(session, "urgent", priority=0)
    assert sent(me, mine, oldest=True, **{name: 2}) == "urgent"
    assert sent(me, mine, oldest=True, **{name: 3}) == "old"


# --- Numbers that are not on WhatsApp


def test_a_number_that_is_not_on_whatsapp_fails_without_being_sent(session: Session, me: Registration, mine: Claimed) -> None:
    contact(session, on_whatsapp=False, checked_at=ago(hours=5.9))
    nobody, somebody = queued(session, "nobody", lane=NEW), queued(session, "somebody", to_phone=OTHER)
    got = claim(me, mine)
    assert got and (got.message, got.status) == (nobody.pk, "failed")
    assert (fresh(nobody).status, nobody.error_code, nobody.attempts) == ("failed", "not_on_whatsapp", 0)
    assert (nobody.error_detail, nobody.sending_at) == ("This number is not on WhatsApp.", None)
    assert timeline(nobody) == ["failed"] and nobody.events.get().detail == {"reason": "not_on_whatsapp"}
    assert sent(me, mine) == somebody.body


def test_hours_later_people_may_have_joined(session: Session, me: Registration, mine: Claimed) -> None:
    contact(session, on_whatsapp=False, checked_at=ago(hours=6.1))
    queued(session, "try again", lane=NEW)
    assert sent(me, mine) == "try again"
    assert Contact.objects.get().on_whatsapp is True


# --- Guards


def test_two_messages_to_one_customer_keep_their_distance(session: Session, me: Registration, mine: Claimed) -> None:
    told = ago(seconds=4)
    contact(session, last_outbound_at=told)
    soon, other = queued(session, "soon"), queued(session, "other", to_phone=OTHER)
    until = told + timedelta(seconds=10)
    assert sent(me, mine, gap_s=10) == "held"
    assert (fresh(soon).status, soon.hold_reason, soon.hold_until, soon.not_before) == ("queued", "recipient_gap", until, until)
    assert (soon.attempts, soon.sending_at, timeline(soon)) == (0, None, [])
    assert sent(me, mine, gap_s=10) == other.body
    assert sent(me, mine, gap_s=10) == "nothing"
    Contact.objects.filter(phone=PHONE).update(last_outbound_at=ago(seconds=11))
    wait_is_over(soon)
    assert sent(me, mine, gap_s=10) == "soon"
    assert (fresh(soon).hold_reason, soon.hold_until, timeline(soon)) == ("", None, ["sending", "sent"])


def test_without_a_gap_a_customer_gets_one_after_the_other(session: Session, me: Registration, mine: Claimed) -> None:
    queued(session, "one"), queued(session, "two")
    assert [sent(me, mine) for _ in range(3)] == ["one", "two", "nothing"]


def test_a_parked_customer_is_left_alone_until_then(session: Session, me: Registration, mine: Claimed) -> None:
    until = timezone.now() + 3 * HOUR
    contact(session, refusals=1, parked_until=until)
    held, other = queued(session, "held", lane=COLD), queued(session, "other", lane=COLD, to_phone=OTHER)
    assert sent(me, mine, gap_s=10) == "held"
    assert (fresh(held).hold_reason, held.hold_until, held.status) == ("contact_parked", until, "queued")
    assert sent(me, mine) == other.body
    Contact.objects.filter(phone=PHONE).update(parked_until=ago(seconds=1))
    wait_is_over(held)
    got = claim(me, mine)
    assert got and (got.message, got.refusals) == (held.pk, 1)


def test_the_longest_of_several_holds_counts(session: Session, me: Registration, mine: Claimed) -> None:
    contact(session, last_outbound_at=timezone.now(), parked_until=ago(seconds=-30))
    held = queued(session, lane=COLD)
    assert sent(me, mine, gap_s=60) == "held"
    assert fresh(held).hold_reason == "recipient_gap"
    wait_is_over(held)
    Contact.objects.update(parked_until=ago(seconds=-90))
    assert sent(me, mine, gap_s=60) == "held"
    assert fresh(held).hold_reason == "contact_parked"


# --- Opted out meanwhile


def test_who_has_opted_out_is_written_to_no_more(session: Session, me: Registration, mine: Claimed) -> None:
    """The contact may have become known by another way than the one that suppresses what waits."""
    contact(session, opted_out_at=ago(days=1), on_whatsapp=False, checked_at=ago(hours=1), parked_until=ago(hours=-1))
    stopped, other = queued(session, "stopped", lane=COLD), queued(session, "other", to_phone=OTHER)
    assert sent(me, mine) == "suppressed"
    assert (fresh(stopped).status, stopped.attempts, stopped.hold_reason) == ("suppressed", 0, "")
    assert timeline(stopped) == ["suppressed"] and stopped.events.get().detail == {"reason": "opted_out"}
    assert sent(me, mine) == other.body


# --- What `ready` says


def test_it_tells_the_most_urgent_of_each_lane(session: Session, me: Registration, mine: Claimed) -> None:
    def told_ready() -> list[tuple[Any, ...]]:
        return [tuple(one)[1:] for one in claims.ready(worker=me.worker, sessions=[session.pk])]

    assert told_ready() == []
    queued(session, lane=NEW, priority=3), queued(session, lane=NEW, priority=1), queued(session, lane=WARM, priority=2)
    queued(session, lane=COLD, priority=0, not_before=ago(hours=-1), hold_until=ago(hours=-1), hold_reason="contact_parked")
    assert told_ready() == [(False, 2, None, 1)]
    queued(session, status="uncertain", attempts=1, not_before=ago(seconds=1))
    assert told_ready() == [(True, 2, None, 1)]


# --- However much waits


def test_a_long_queue_makes_no_claim_slow(session: Session, me: Registration, mine: Claimed) -> None:
    """Where 100,000 messages wait and as many are finished, there and elsewhere, and the customers are many, too."""
    crowd(session)
    for due in ({}, {"oldest": True}, {"cold": NOTHING}, {"identical": 10, "gap_s": 10}):
        nodes = explained(lambda due=due: claim(me, mine, **due), "pick AS")  # type: ignore[misc]
        assert {"message_line", "message_unsettled", "contact_phone_once"} <= {node.get("Index Name") for node in nodes}, due
        assert rows_read(nodes, "message") < 40 and rows_read(nodes, "contact") < 5, due


def test_long_queues_of_one_kind_make_no_claim_slow(restaurant: Restaurant, me: Registration) -> None:
    """As most are: all to customers who have written, none more urgent than another. Who looks for the oldest finds most lanes
    empty, and must not look through all that the session ever sent for each."""
    many = linked_sessions(restaurant, 50)
    pile_up(
        many[0], 50 * 1_000, id="uuidv7()", session_id=f"('{{{','.join(str(one.pk) for one in many)}}}'::uuid[])[1 + mod(n, 50)]"
    )
    know_many(many[0], 1)
    owned = ownership.claim(me=me, limit=len(many))
    Session.objects.update(state="connected")
    nodes = explained(lambda: claim(me, owned[0], oldest=True))
    assert rows_read(nodes, "message") < 40, [node for node in nodes if node.get("Relation Name") == "message"]
