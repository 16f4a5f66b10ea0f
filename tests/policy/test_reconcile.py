"""What comes next for a session, from what is wished and what is true."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.reconcile import Action, Truth, Wish, reconcile

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOON, PAST = NOW + timedelta(minutes=5), NOW - timedelta(seconds=1)
PHONE = "+4915112345678"
linked, unlinked = Truth(linked=True, state="disconnected"), Truth(linked=False, state="unlinked")

TABLE = [
    ("logs in when linked", Wish("online"), linked, Action.OPEN),
    ("stays when connected", Wish("online"), Truth(True, "connected", "connected"), Action.NOTHING),
    ("waits for its retry", Wish("online"), Truth(True, "disconnected", retry_at=SOON), Action.NOTHING),
    ("retries when it is time", Wish("online"), Truth(True, "disconnected", retry_at=PAST), Action.OPEN),
    ("leaves a banned number alone", Wish("online"), Truth(True, "blocked"), Action.NOTHING),
    ("tries a banned number when the ban ends", Wish("online"), Truth(True, "blocked", retry_at=PAST), Action.OPEN),
    ("restarts on a wish", Wish("online", restart_pending=True), Truth(True, "connected", "connected"), Action.RESTART),
    ("restarts a banned number on a wish", Wish("online", restart_pending=True), Truth(True, "blocked"), Action.RESTART),
    ("closes when offline is wished", Wish("offline"), Truth(True, "connected", "connected"), Action.CLOSE),
    ("says stopped even when nothing is open", Wish("offline"), linked, Action.CLOSE),
    ("needs no owner when stopped", Wish("offline"), Truth(True, "stopped"), Action.RELEASE),
    ("logs out on a wish", Wish("unlinked"), linked, Action.LOG_OUT),
    ("logs out of a link half made", Wish("unlinked"), Truth(False, "linking", "linking", ""), Action.LOG_OUT),
    ("needs no owner when logged out", Wish("unlinked"), unlinked, Action.RELEASE),
    ("shows a QR code while somebody watches", Wish("online", SOON), unlinked, Action.LINK_QR),
    ("shows a pairing code", Wish("online", SOON, PHONE), unlinked, Action.LINK_CODE),
    ("keeps showing it", Wish("online", SOON), Truth(False, "linking", "linking", ""), Action.NOTHING),
    ("changes from QR to code", Wish("online", SOON, PHONE), Truth(False, "linking", "linking", ""), Action.RESTART),
    ("takes it away when nobody watches", Wish("online", PAST), Truth(False, "linking", "linking", ""), Action.CLOSE),
    ("takes it away when linking was stopped", Wish("online"), Truth(False, "linking", "linking", ""), Action.CLOSE),
    ("lets a scan finish", Wish("online", PAST), Truth(False, "connecting", "connecting", ""), Action.NOTHING),
    ("needs no owner when nobody links", Wish("online"), unlinked, Action.RELEASE),
    ("pauses before the next code after an error", Wish("online", SOON), Truth(False, "unlinked", retry_at=SOON), Action.NOTHING),
]


@pytest.mark.parametrize(("wish", "truth", "action"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_it(wish: Wish, truth: Truth, action: Action) -> None:
    assert reconcile(wish, truth, NOW) is action


times = st.sampled_from([None, PAST, SOON])
wishes = st.builds(
    Wish,
    desired=st.sampled_from(["online", "offline", "unlinked"]),
    link_until=times,
    link_phone=st.sampled_from(["", PHONE]),
    restart_pending=st.booleans(),
)
truths = st.builds(
    Truth,
    linked=st.booleans(),
    state=st.sampled_from(["unlinked", "linking", "connecting", "connected", "disconnected", "stopped", "logged_out", "blocked"]),
    open=st.sampled_from(["no", "linking", "connecting", "connected"]),
    linking_phone=st.sampled_from([None, "", PHONE]),
    retry_at=times,
)


@given(wish=wishes, truth=truths)
def test_it_never_opens_what_is_open_nor_releases_what_is_open(wish: Wish, truth: Truth) -> None:
    action = reconcile(wish, truth, NOW)
    if truth.open != "no":
        assert action not in (Action.OPEN, Action.LINK_QR, Action.LINK_CODE, Action.RELEASE)


@given(wish=wishes, truth=truths)
def test_it_logs_out_only_when_that_is_wished(wish: Wish, truth: Truth) -> None:
    if reconcile(wish, truth, NOW) is Action.LOG_OUT:
        assert wish.desired == "unlinked"


@given(wish=wishes, truth=truths)
def test_a_linked_number_is_never_linked_again_nor_given_up(wish: Wish, truth: Truth) -> None:
    if truth.linked and wish.desired == "online":
        assert reconcile(wish, truth, NOW) not in (Action.LINK_QR, Action.LINK_CODE, Action.RELEASE)
