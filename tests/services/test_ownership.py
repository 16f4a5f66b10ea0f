"""One owner at most, a rising term, and a former owner that can do nothing."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from sessions_app.models import Message, Restaurant, Session, SessionEvent, Worker
from sessions_app.services import ownership
from sessions_app.services.ownership import Claimed
from tests.support.owning import ago, connected, expire, in_threads, linked, linked_sessions, queued, register, timeline


def claim_one(session: Session, name: str = "w1@here") -> Claimed:
    return next(one for one in ownership.claim(me=register(name), limit=10) if one.session == session.pk)


def test_it_claims_what_needs_an_owner_and_raises_the_term(session: Session) -> None:
    linked(session, term=7)
    me = register()
    assert ownership.claim(me=me, limit=10) == [Claimed(session.pk, 8)]
    session.refresh_from_db()
    assert (session.owner_id, session.term) == (me.worker, 8)
    assert session.events.filter(kind="claimed", detail__term=8).exists()


def test_looking_for_sessions_when_there_are_none_is_one_statement(session: Session) -> None:
    linked(session)
    me, other = register(), register("w2@here")
    assert ownership.claim(me=me, limit=10)
    with CaptureQueriesContext(connection) as asked:
        assert ownership.claim(me=other, limit=10) == []
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("wishes", "wanted"),
    [
        ({"desired": "online"}, True),
        ({"desired": "online", "linked_at": None}, False),
        ({"desired": "online", "linked_at": None, "link_until": ago(days=-1)}, True),  # told at collection, long before it runs
        ({"desired": "online", "linked_at": None, "link_until": ago(minutes=1)}, False),
        ({"desired": "offline"}, True),
        ({"desired": "offline", "state": "stopped"}, False),
        ({"desired": "unlinked"}, True),
        ({"desired": "unlinked", "linked_at": None}, False),
        ({"desired": "unlinked", "deleted_at": ago(minutes=1)}, True),
    ],
)
def test_it_leaves_sessions_alone_that_need_no_owner(session: Session, wishes: dict[str, object], wanted: bool) -> None:
    linked(session, **wishes)
    assert bool(ownership.claim(me=register(), limit=10)) is wanted


def test_a_living_owner_keeps_its_sessions(session: Session) -> None:
    linked(session)
    claim_one(session)
    assert ownership.claim(me=register("w2@here"), limit=10) == []


def test_a_dead_owners_sessions_are_taken_over(session: Session) -> None:
    linked(session)
    first = claim_one(session)
    Session.objects.update(state="connected", qr="old")
    expire("w1@here")
    second = claim_one(session, "w2@here")
    assert second.term == first.term + 1
    session.refresh_from_db()
    assert (session.state, session.qr) == ("disconnected", "")


def test_what_a_restarted_worker_does_not_take_back_is_free_for_others(restaurant: Restaurant) -> None:
    """It may have its share already: all workers were killed, and the others were quicker."""
    linked_sessions(restaurant, 3)
    ownership.claim(me=register(), limit=3)
    other = register("w2@here")
    again = register(ready=False)
    assert ownership.claim(me=other, limit=3) == []  # it has the first turn
    assert ownership.renew(me=again, ttl_s=30, bridge_ready=True, bridge_detail="", draining=False)
    assert len(ownership.claim(me=again, limit=1)) == 1
    taken = ownership.claim(me=other, limit=3)
    assert [one.term for one in taken] == [2, 2]
    assert ownership.claim(me=again, limit=3) == ownership.claim(me=other, limit=3) == []


def test_what_a_restarted_worker_held_does_not_wait_for_one_that_never_gets_ready(session: Session) -> None:
    linked(session)
    ownership.claim(me=register(), limit=1)
    register(ready=False)
    other = register("w2@here")
    Worker.objects.filter(name="w1@here").update(started_at=ago(seconds=ownership.TAKES_BACK_WITHIN_S + 1))
    assert ownership.claim(me=other, limit=1) == [Claimed(session.pk, 2)]


def test_a_restarted_worker_takes_its_own_back_at_once(session: Session) -> None:
    linked(session)
    first = claim_one(session)
    assert claim_one(session).term == first.term + 1


def test_it_claims_its_own_first(restaurant: Restaurant) -> None:
    mine, *_ = linked_sessions(restaurant, 5)
    Session.objects.filter(pk=mine.pk).update(owner=register().worker, owner_incarnation=1)
    assert [one.session for one in ownership.claim(me=register(), limit=1)] == [mine.pk]


def test_the_former_process_of_a_name_has_lost_everything(session: Session) -> None:
    linked(session)
    old = register()
    new = register()
    assert ownership.renew(me=old, ttl_s=6, bridge_ready=True, bridge_detail="", draining=False) is None
    assert ownership.claim(me=old, limit=10) == []
    assert len(ownership.claim(me=new, limit=10)) == 1


def test_a_lease_that_ran_out_cannot_be_renewed(session: Session) -> None:
    linked(session)
    me = register()
    expire("w1@here")
    assert ownership.renew(me=me, ttl_s=6, bridge_ready=True, bridge_detail="", draining=False) is None
    assert ownership.claim(me=me, limit=10) == []


def test_a_lease_that_only_the_databases_clock_has_ended_goes_on(session: Session) -> None:
    linked(session)
    me = register()
    mine = ownership.claim(me=me, limit=10)
    expire("w1@here")
    assert ownership.renew(me=me, ttl_s=6, bridge_ready=True, bridge_detail="", draining=False, held=True)
    assert ownership.claim(me=register("w2@here"), limit=10) == []
    assert ownership.release(me=me, owned=mine, reason="x") == 1


def test_what_was_taken_while_the_clock_was_ahead_stays_taken(session: Session) -> None:
    linked(session)
    me = register()
    mine = ownership.claim(me=me, limit=10)
    expire("w1@here")
    other = register("w2@here")
    assert len(ownership.claim(me=other, limit=10)) == 1
    assert ownership.renew(me=me, ttl_s=6, bridge_ready=True, bridge_detail="", draining=False, held=True)
    assert ownership.release(me=me, owned=mine, reason="x") == 0


def test_a_clock_that_is_later_than_can_be_explained_ends_no_lease(session: Session) -> None:
    linked(session)
    claim_one(session)
    other = register("w2@here")
    expire("w1@here")  # as the clock, set forward, has done to all
    assert ownership.claim(me=other, limit=10, not_after=ago(seconds=1)) == []
    assert len(ownership.claim(me=other, limit=10, not_after=ago(minutes=-1))) == 1


def set_back(name: str) -> None:
    """As if the database's clock had been set back by a minute since its last heartbeat."""
    minute = timezone.now() + timedelta(minutes=1)
    Worker.objects.filter(name=name).update(heartbeat_at=minute, expires_at=minute + timedelta(seconds=6))


def test_a_dead_worker_whose_lease_seems_to_go_on_is_known_by_its_silence(session: Session) -> None:
    linked(session)
    first = claim_one(session, "w1@here")
    queued(session, status="sending", claimed_term=first.term)
    set_back("w1@here")
    me = register("w2@here")
    renewal = ownership.renew(me=me, ttl_s=6, bridge_ready=True, bridge_detail="", draining=False)
    assert renewal and len(renewal.ahead) == 1
    assert ownership.claim(me=me, limit=10) == []
    claimed = ownership.claim(me=me, limit=10, silent=renewal.ahead)
    assert claimed == [Claimed(session.pk, first.term + 1)]
    assert not Message.objects.exclude(status="uncertain").exists()


def test_a_worker_that_has_beaten_since_is_not_silent(session: Session) -> None:
    linked(session)
    alive = register("w1@here")
    ownership.claim(me=alive, limit=10)
    set_back("w1@here")
    me = register("w2@here")
    renewal = ownership.renew(me=me, ttl_s=6, bridge_ready=True, bridge_detail="", draining=False)
    assert renewal and ownership.renew(me=alive, ttl_s=6, bridge_ready=True, bridge_detail="", draining=False)
    assert ownership.claim(me=me, limit=10, silent=renewal.ahead) == []


def test_a_restart_after_the_clock_was_set_back_still_raises_the_term(session: Session) -> None:
    linked(session)
    first = claim_one(session)
    Session.objects.update(claimed_at=ago(minutes=-1))
    sending = queued(session, status="sending", claimed_term=first.term)
    assert claim_one(session).term == first.term + 1
    sending.refresh_from_db()
    assert sending.status == "uncertain"


def test_what_moves_is_counted_and_what_fails_is_not(restaurant: Restaurant) -> None:
    free, opening, failing, *_ = linked_sessions(restaurant, 5)
    me = register()
    ownership.claim(me=me, limit=10)
    Session.objects.update(state="connected")
    for one, changes in (
        (free, {"owner": None, "state": "disconnected"}),
        (opening, {"state": "connecting"}),
        (failing, {"state": "disconnected", "failures": 3}),
    ):
        Session.objects.filter(pk=one.pk).update(**changes)
    assert ownership.moving() == 2


def test_a_renewal_tells_how_much_there_is_to_share(restaurant: Restaurant) -> None:
    linked_sessions(restaurant, 3)
    me = register("w1@here")
    register("w2@here")
    register("w3@here", ready=False)
    gone = register("w4@here")
    ownership.leave(me=gone)
    renewal = ownership.renew(me=me, ttl_s=6, bridge_ready=True, bridge_detail="", draining=False)
    assert renewal and renewal.wanted_sessions == 3
    assert ownership.others(me=me) == [100]


def test_a_name_is_held_as_long_as_its_lease(db: None) -> None:
    assert ownership.holder(name="w1@here") is None
    register()
    assert ownership.holder(name="w1@here") == ("here", 1)
    expire("w1@here")
    assert ownership.holder(name="w1@here") is None


def test_what_was_under_way_becomes_uncertain_with_the_claim(session: Session) -> None:
    linked(session)
    ahead = ago(minutes=-1)  # the clock was set back since
    sending, waiting = queued(session, status="sending", claimed_term=1, not_before=ahead), queued(session)
    claim_one(session)
    sending.refresh_from_db()
    waiting.refresh_from_db()
    assert (sending.status, sending.error_code, waiting.status) == ("uncertain", "owner_lost", "queued")
    assert timeline(sending) == ["uncertain"]
    assert sending.not_before < ahead, "its resend need not wait"


def test_releasing_lets_another_claim_at_once(session: Session) -> None:
    me = register()
    mine = connected(session, me)
    assert ownership.release(me=me, owned=[mine], reason="fair_share") == 1
    assert ownership.release(me=me, owned=[mine], reason="in doubt") == 0, "once, and told once"
    session.refresh_from_db()
    assert (session.owner_id, session.state, session.state_reason) == (None, "disconnected", "released")
    assert claim_one(session, "w2@here").term == mine.term + 1


def test_a_former_owner_releases_nothing(session: Session) -> None:
    me = register()
    mine = connected(session, me)
    expire("w1@here")
    claim_one(session, "w2@here")
    assert ownership.release(me=me, owned=[mine], reason="late") == 0
    session.refresh_from_db()
    assert session.owner is not None and session.owner.name == "w2@here"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("left_by", ["nobody", "a dead worker"])
def test_many_workers_at_once_claim_each_session_once(restaurant: Restaurant, left_by: str) -> None:
    sessions = linked_sessions(restaurant, 60)
    if left_by != "nobody":
        Session.objects.update(owner=register("dead@here").worker)
        expire("dead@here")

    def claim_all(number: int) -> list[Claimed]:
        me, mine = register(f"w{number}@here"), list[Claimed]()
        while Session.objects.filter(term=0).exists():
            mine += ownership.claim(me=me, limit=7)
        return mine

    claimed = [one.session for claims in in_threads(6, claim_all) for one in claims]
    assert sorted(claimed) == sorted(session.pk for session in sessions)
    assert SessionEvent.objects.filter(kind="claimed").count() == 60
    assert set(Session.objects.values_list("term", flat=True)) == {1}


@pytest.mark.django_db(transaction=True)
def test_a_claim_passes_over_a_session_that_is_locked(restaurant: Restaurant) -> None:
    locked, free = linked_sessions(restaurant, 2)

    def claim(_: int) -> list[Claimed]:
        return ownership.claim(me=register(), limit=10)

    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT 1 FROM wa_session WHERE id = %s FOR UPDATE", [locked.pk])
        claimed = in_threads(1, claim)[0]
        cursor.execute("ROLLBACK")
    assert [one.session for one in claimed] == [free.pk]
