"""Owners read wishes and write truths; a former owner's truth matches no row."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sessions_app.models import Session
from sessions_app.services import ownership, session_state, sessions
from sessions_app.services.ownership import Claimed, Registration
from sessions_app.services.session_state import Truth
from tests.support.owning import ago, register


def truth(mine: Claimed, state: str, **more: object) -> Truth:
    return Truth(session=mine.session, term=mine.term, state=state, **more)  # type: ignore[arg-type]


def test_it_writes_what_is_true_and_logs_the_change(session: Session, me: Registration, mine: Claimed) -> None:
    expires = ago(seconds=-60)
    shown = truth(mine, "linking", qr="the code", qr_expires_at=expires, events=[{"from": "connected", "to": "linking"}])
    assert session_state.write_truths(worker=me.worker, truths=[shown]).written == {session.pk}
    session.refresh_from_db()
    assert (session.state, session.qr, session.qr_expires_at, session.linked_at) == ("linking", "the code", expires, None)
    assert session.state_changed_at is not None
    assert [event.detail["to"] for event in session.events.filter(kind="state")] == ["linking"]


def test_a_former_owner_writes_nothing(session: Session, me: Registration, mine: Claimed) -> None:
    stale = Truth(session=mine.session, term=mine.term - 1, state="logged_out", events=[{"to": "logged_out"}])
    assert session_state.write_truths(worker=me.worker, truths=[stale]).written == set()
    assert session_state.write_truths(worker=register("w2@here").worker, truths=[truth(mine, "logged_out")]).written == set()
    session.refresh_from_db()
    assert (session.state, session.linked_at is not None) == ("connected", True)
    assert not session.events.filter(kind="state").exists()


def test_the_time_of_linking_is_kept_and_a_log_out_ends_it(session: Session, me: Registration, mine: Claimed) -> None:
    since = session.linked_at
    session.refresh_from_db()
    since = session.linked_at
    session_state.write_truths(worker=me.worker, truths=[truth(mine, "connected", linked=True)])
    session.refresh_from_db()
    assert session.linked_at == since
    session_state.write_truths(worker=me.worker, truths=[truth(mine, "logged_out", linked=False)])
    session.refresh_from_db()
    assert session.linked_at is None


def logged_out(mine: Claimed) -> Truth:
    return truth(mine, "logged_out", events=[{"from": "connected", "to": "logged_out", "reason": "logged_out"}])


@pytest.mark.parametrize(
    ("kind", "detail", "before"),
    [
        ("number_restricted", {"active": True, "kind": "default"}, True),
        ("state", {"to": "blocked", "reason": "banned_temporarily"}, True),
        ("number_restricted", {"active": False}, None),
        ("state", {"to": "disconnected", "reason": "connection_lost"}, None),
    ],
)
def test_a_log_out_says_whether_a_restriction_came_first(
    session: Session, me: Registration, mine: Claimed, kind: str, detail: dict[str, object], before: bool | None
) -> None:
    session.events.create(at=ago(days=29), kind=kind, detail=detail)
    session.events.create(at=ago(days=31), kind="number_restricted", detail={"active": True})
    session_state.write_truths(worker=me.worker, truths=[logged_out(mine)])
    assert session.events.get(detail__to="logged_out").detail.get("restricted_before") is before


def test_a_wish_to_link_ends_but_a_newer_one_stays(session: Session, me: Registration, mine: Claimed) -> None:
    Session.objects.update(linked_at=None)
    sessions.link(session=session, phone="+4915112345678")
    done = session.link_until
    session_state.write_truths(worker=me.worker, truths=[truth(mine, "connected", linked=True, link_ended=done)])
    session.refresh_from_db()
    assert (session.link_until, session.link_phone) == (None, "")
    later = timezone.now() + timedelta(minutes=9)
    Session.objects.update(link_until=later)
    session_state.write_truths(worker=me.worker, truths=[truth(mine, "connected", linked=True, link_ended=done)])
    session.refresh_from_db()
    assert session.link_until == later


def test_a_restart_wish_made_meanwhile_is_not_lost(session: Session, me: Registration, mine: Claimed) -> None:
    sessions.restart(session=session)
    sessions.restart(session=session)
    session_state.write_truths(worker=me.worker, truths=[truth(mine, "connected", linked=True, restart_done=1)])
    session.refresh_from_db()
    assert (session.restart_wish, session.restart_done) == (2, 1)


def test_the_frequent_look_leaves_out_steady_sessions(session: Session, me: Registration, mine: Claimed) -> None:
    assert session_state.load(worker=me.worker, sessions=[], restless=True) == []
    assert [row.id for row in session_state.load(worker=me.worker)] == [session.pk]
    for wish in (sessions.restart, sessions.stop, sessions.log_out):
        Session.objects.update(desired="online", restart_done=0, restart_wish=0)
        session.refresh_from_db()
        wish(session=session)
        assert [row.id for row in session_state.load(worker=me.worker, sessions=[], restless=True)] == [session.pk], wish


def test_a_deleted_session_reads_as_to_be_logged_out(session: Session, me: Registration, mine: Claimed) -> None:
    Session.objects.update(deleted_at=timezone.now())
    assert [row.desired for row in session_state.load(worker=me.worker)] == ["unlinked"]


def test_what_the_name_held_before_its_restart_is_not_its_own_until_claimed(
    session: Session, me: Registration, mine: Claimed
) -> None:
    assert session_state.count(worker=me.worker) == 1
    again = register()
    assert (session_state.load(worker=again.worker), session_state.count(worker=again.worker)) == ([], 0)
    assert ownership.claim(me=again, limit=1) == [Claimed(session.pk, mine.term + 1)]
    assert [row.term for row in session_state.load(worker=again.worker)] == [mine.term + 1]
    assert session_state.count(worker=again.worker) == 1
