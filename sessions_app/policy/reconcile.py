"""What an owner does next with a session, from what is wanted and what is true."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal


class Action(StrEnum):
    NOTHING = "nothing"
    OPEN = "open"  # log in with the credentials that are held
    LINK_QR = "link_qr"
    LINK_CODE = "link_code"
    CLOSE = "close"  # the link stays
    RESTART = "restart"  # close, then open
    LOG_OUT = "log_out"  # tell WhatsApp, wipe the credentials
    RELEASE = "release"  # nothing is left to do: no owner needed


Open = Literal["no", "linking", "connecting", "connected"]


@dataclass(frozen=True, slots=True)
class Wish:
    desired: Literal["online", "offline", "unlinked"]
    link_until: datetime | None = None
    link_phone: str = ""
    restart_pending: bool = False


@dataclass(frozen=True, slots=True)
class Truth:
    linked: bool
    state: str
    open: Open = "no"  # what the bridge holds for it
    linking_phone: str | None = None  # what an open link was begun with; empty: by QR
    retry_at: datetime | None = None


def reconcile(wish: Wish, truth: Truth, now: datetime) -> Action:
    if wish.desired == "unlinked":
        return Action.LOG_OUT if truth.linked or truth.open != "no" else Action.RELEASE
    if wish.desired == "offline":
        return _offline(truth)
    return _online(wish, truth, now) if truth.linked else _linking(wish, truth, now)


def _offline(truth: Truth) -> Action:
    if truth.open != "no":
        return Action.CLOSE
    return Action.CLOSE if truth.linked and truth.state != "stopped" else Action.RELEASE


def _online(wish: Wish, truth: Truth, now: datetime) -> Action:
    if wish.restart_pending:
        return Action.RESTART
    if truth.open != "no":
        return Action.NOTHING
    parked = truth.state == "blocked" and truth.retry_at is None
    early = truth.retry_at is not None and truth.retry_at > now
    return Action.NOTHING if parked or early else Action.OPEN


def _linking(wish: Wish, truth: Truth, now: datetime) -> Action:
    watched = wish.link_until is not None and wish.link_until > now
    if truth.open in ("connecting", "connected"):
        return Action.NOTHING  # the phone has scanned it: the row says linked in a moment
    if not watched:
        return Action.CLOSE if truth.open == "linking" else Action.RELEASE
    if truth.open == "linking" and truth.linking_phone == wish.link_phone:
        return Action.NOTHING
    if truth.open == "linking":
        return Action.RESTART
    if truth.retry_at is not None and truth.retry_at > now:
        return Action.NOTHING
    return Action.LINK_CODE if wish.link_phone else Action.LINK_QR
