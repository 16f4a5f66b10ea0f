"""A worker's engine on a real database: it links, heeds wishes, and answers connections that end."""

import asyncio
import contextlib
from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from sessions_app.models import Restaurant, Session, SessionEvent
from sessions_app.services import sessions
from tests.support.owning import ago, linked, linked_sessions, queued, register
from tests.support.stack import eventually
from tests.support.stub_bridge import Json, StubBridge, StubBridgeThread
from tests.workers.conftest import MakeRunner
from tests.workers.watching import fresh, logged, online, tell, until_state
from tests.workers.wire import seen_for

SCANNED = "+4915199999999"


# --- Linking


def test_it_links_by_qr_and_keeps_who_it_is(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    make_runner()
    sessions.link(session=session)
    until_state(session, "linking")
    assert session.qr == f"qr-of-{session.pk}"
    assert session.qr_expires_at is not None and session.qr_expires_at > timezone.now()
    tell(bridge, lambda: stub.scan(str(session.pk), SCANNED))
    until_state(session, "connected")
    assert (session.phone, session.lid, session.push_name, session.qr) == (SCANNED, "1@lid", "Luigi", "")
    assert session.linked_at is not None
    eventually(lambda: fresh(session).link_until is None, what="the wish to end")
    states = [event.detail["to"] for event in session.events.filter(kind="state").order_by("id")]
    assert states == ["linking", "connected"]


def test_it_links_by_pairing_code(session: Session, make_runner: MakeRunner) -> None:
    make_runner()
    sessions.link(session=session, phone="+4915112345678")
    until_state(session, "linking")
    assert (session.pairing_code, session.qr) == ("ABCD1234", "")


def test_it_changes_from_qr_to_code_while_linking(session: Session, make_runner: MakeRunner) -> None:
    make_runner()
    sessions.link(session=session)
    until_state(session, "linking")
    sessions.link(session=session, phone="+4915112345678")
    eventually(lambda: fresh(session).pairing_code == "ABCD1234", what="a pairing code")
    assert session.qr == ""


def test_codes_that_ran_out_are_shown_anew_while_somebody_watches(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    make_runner()
    sessions.link(session=session)
    until_state(session, "linking")
    tell(bridge, lambda: stub.close(str(session.pk), "link_expired"))
    eventually(lambda: len([call for call in stub.calls if call[0] == "PUT"]) == 2, what="a second link")
    until_state(session, "linking")


def test_a_refusal_while_linking_is_not_met_with_another_try_at_once(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    make_runner()
    sessions.link(session=session)
    until_state(session, "linking")
    tell(bridge, lambda: stub.close(str(session.pk), "logged_out"))

    def asked(method: str) -> int:
        return [call[0] for call in stub.calls].count(method)

    eventually(lambda: asked("DELETE") == 1, what="the log-out")
    seen_for(0.3, lambda: asked("PUT") == 1)
    eventually(lambda: asked("PUT") == 2, what="a second try")


def test_a_window_that_ends_takes_the_code_away_and_frees_the_session(session: Session, make_runner: MakeRunner) -> None:
    make_runner()
    sessions.link(session=session)
    until_state(session, "linking")
    Session.objects.update(link_until=ago(seconds=0))
    until_state(session, "unlinked")
    assert (session.qr, session.state_reason) == ("", "link_expired")
    eventually(lambda: fresh(session).owner_id is None, what="its release")


def test_a_passkey_is_said_in_plain_words_and_ends_linking(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    make_runner()
    sessions.link(session=session)
    until_state(session, "linking")
    tell(bridge, lambda: stub.close(str(session.pk), "passkey_required"))
    until_state(session, "unlinked")
    assert session.state_reason == "passkey_required"
    assert "passkey" in session.state_detail
    eventually(lambda: fresh(session).owner_id is None, what="its release")


# --- Wishes


def test_stop_start_restart_and_log_out(session: Session, stub: StubBridge, make_runner: MakeRunner) -> None:
    online(session, stub)
    make_runner()
    until_state(session, "connected")
    sessions.stop(session=session)
    until_state(session, "stopped")
    sessions.start(session=session)
    until_state(session, "connected")
    opened = len([call for call in stub.calls if call[0] == "PUT"])
    sessions.restart(session=session)
    eventually(lambda: fresh(session).restart_done == 1, what="the restart")
    until_state(session, "connected")
    assert len([call for call in stub.calls if call[0] == "PUT"]) == opened + 1
    sessions.log_out(session=session)
    until_state(session, "unlinked")
    assert (session.linked_at, session.phone) == (None, "")
    assert stub.calls[-1][2].get("logout") == "true"
    eventually(lambda: fresh(session).owner_id is None, what="its release")


# --- Connections that end


@pytest.mark.parametrize("reason", ["connection_lost", "restart_required"])
def test_it_reconnects_by_itself(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner, reason: str
) -> None:
    online(session, stub)
    make_runner()
    until_state(session, "connected")
    tell(bridge, lambda: stub.close(str(session.pk), reason))
    eventually(lambda: SessionEvent.objects.filter(detail__reason=reason).exists(), what="the loss in the log")
    until_state(session, "connected")
    assert fresh(session).failures == 0


def test_a_log_out_on_the_phone_wipes_and_the_queue_waits(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    online(session, stub)
    make_runner()
    until_state(session, "connected")
    tell(bridge, lambda: stub.close(str(session.pk), "logged_out"))
    eventually(lambda: fresh(session).linked_at is None, what="the end of the link")
    assert (session.state, session.state_reason) == ("logged_out", "logged_out")
    assert str(session.pk) not in stub.linked
    message = queued(session)
    eventually(lambda: fresh(session).owner_id is None, what="its release")
    message.refresh_from_db()
    assert message.status == "queued"


def test_a_log_out_on_the_phone_wipes_once_the_send_under_way_is_settled(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    """Unlinked, the session has no next owner: were the worker killed before, nobody would ever settle it."""
    under_way, let_go = asyncio.Event(), asyncio.Event()

    async def outlast_the_socket(who: str, send: Json) -> Json:
        under_way.set()
        with contextlib.suppress(asyncio.CancelledError):
            await let_go.wait()
        await let_go.wait()
        return {"outcome": "unknown", "reason": "connection_lost"}

    stub.answer = outlast_the_socket
    online(session, stub)
    message = queued(session)
    make_runner()
    eventually(under_way.is_set, what="the send")
    tell(bridge, lambda: stub.close(str(session.pk), "logged_out"))
    until_state(session, "logged_out")
    seen_for(0.5, lambda: fresh(session).linked_at is not None and str(session.pk) in stub.linked)
    tell(bridge, let_go.set)
    eventually(lambda: fresh(session).linked_at is None, what="the end of the link")
    message.refresh_from_db()
    assert message.status == "uncertain" and str(session.pk) not in stub.linked


@pytest.mark.parametrize(
    ("reason", "state"), [("forbidden", "blocked"), ("replaced", "disconnected"), ("banned_temporarily", "blocked")]
)
def test_it_does_not_fight(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner, reason: str, state: str
) -> None:
    online(session, stub)
    make_runner()
    until_state(session, "connected")
    until = (timezone.now() + timedelta(hours=2)).isoformat()
    tell(bridge, lambda: stub.close(str(session.pk), reason, {"until": until}))
    until_state(session, state)
    assert session.state_reason == reason
    assert session.retry_at is None or session.retry_at > timezone.now() + timedelta(seconds=10)
    assert [call[0] for call in stub.calls].count("PUT") == 1
    assert str(session.pk) in stub.linked


def test_what_whatsapp_does_to_a_number_is_an_error_in_the_log_and_says_what_for(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner, caplog: pytest.LogCaptureFixture
) -> None:
    online(session, stub)
    make_runner()
    until_state(session, "connected")
    with caplog.at_level("ERROR"):
        tell(bridge, lambda: stub.close(str(session.pk), "banned_temporarily", {"until": None, "kind": "101"}))
        until_state(session, "blocked")
    (line,) = logged(caplog, "session.needs_attention")
    assert (line["session"], line["reason"]) == (str(session.pk), "banned_temporarily")
    assert "too many people" in session.state_detail
    assert line["detail"] == session.state_detail


def test_a_session_replaced_by_its_new_owner_is_left_to_it(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner, caplog: pytest.LogCaptureFixture
) -> None:
    """The first that a former owner hears of it may be its socket's end: it looks whose session it is before anything else."""
    online(session, stub)
    make_runner(look_every_s=3_600)
    until_state(session, "connected")
    other = register("w2@here")
    Session.objects.update(owner=other.worker, term=99, state="connected", state_reason="")
    tell(bridge, lambda: stub.close(str(session.pk), "replaced"))
    queued(session)
    eventually(lambda: logged(caplog, "session.lost"), what="the former owner to see it")
    assert (fresh(session).term, session.state, session.state_reason, session.retry_at) == (99, "connected", "", None)
    assert [call[0] for call in stub.calls].count("PUT") == 1
    assert stub.sends == []


def test_missing_credentials_are_said(session: Session, make_runner: MakeRunner) -> None:
    linked(session)
    make_runner()
    until_state(session, "logged_out")
    assert (session.state_reason, session.linked_at) == ("not_linked", None)


def test_a_login_refused_for_a_while_is_tried_again_with_the_link_kept(
    session: Session, stub: StubBridge, make_runner: MakeRunner
) -> None:
    online(session, stub)
    stub.refuse_open[str(session.pk)] = (503, "store_unavailable")
    make_runner()
    until_state(session, "disconnected")
    eventually(lambda: fresh(session).state_reason == "store_unavailable", what="the reason")
    stub.refuse_open.clear()
    until_state(session, "connected")


def test_names_that_postgresql_cannot_hold_do_no_harm(
    session: Session, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    make_runner()
    sessions.link(session=session)
    until_state(session, "linking")
    tell(bridge, lambda: stub.tell(str(session.pk), "connected", phone=SCANNED, lid="1@lid", name="Lu\0i\ud800gi" + "!" * 200))
    until_state(session, "connected")
    assert session.push_name.startswith("Lui?gi!")
    assert len(session.push_name) == 120


# --- Logins


def test_so_many_log_in_at_once_and_the_others_after_them(
    restaurant: Restaurant, stub: StubBridge, bridge: StubBridgeThread, make_runner: MakeRunner
) -> None:
    """After a restart all sessions want to: each login costs the bridge as much as twenty messages."""
    many = _four_of_twelve(restaurant, stub, make_runner)
    for done in range(1, 9):
        tell(bridge, partial(stub.tell, _opened(stub)[done - 1], "connected", phone=SCANNED, lid="1@lid", name="Luigi"))
        eventually(partial(_are_open, stub, 4 + done), what="one more login for each that is over")
    assert len(_opened(stub)) == len(many)


def test_who_waits_for_a_code_waits_for_no_logins(
    restaurant: Restaurant, session: Session, stub: StubBridge, make_runner: MakeRunner
) -> None:
    _four_of_twelve(restaurant, stub, make_runner)
    sessions.link(session=session)
    eventually(partial(_are_open, stub, 5), what="the code")
    assert _opened(stub)[4] == str(session.pk)


def _four_of_twelve(restaurant: Restaurant, stub: StubBridge, make_runner: MakeRunner) -> list[Session]:
    """The logins of four are under way, and the others wait for them."""
    many = linked_sessions(restaurant, 12)
    stub.linked = {str(one.pk) for one in many}
    stub.connects = False
    make_runner(max_opening=4)
    eventually(partial(_are_open, stub, 4), what="the first logins")
    return many


def _are_open(stub: StubBridge, count: int) -> bool:
    return len(_opened(stub)) == count


def _opened(stub: StubBridge) -> list[str]:
    return [call[1] for call in stub.calls if call[0] == "PUT"]
