"""Sessions as the API shows and takes them."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from sessions_app.api.fields import VISIBLE, Answer, Body, PhoneText
from sessions_app.models import Session
from sessions_app.policy.budgets import Budget
from sessions_app.policy.lanes import LANES, Lane
from sessions_app.policy.reasons import Held, sentence
from sessions_app.policy.risk import Risk
from sessions_app.services.outlook import Outlook


class SessionIn(Body):
    name: Annotated[str, Field(min_length=1, max_length=80, pattern=VISIBLE)]


class LinkByQr(Body):
    method: Literal["qr"]


class LinkByCode(Body):
    method: Literal["code"]
    phone: PhoneText
    """The number to be linked."""


LINK_METHODS = ("qr", "code")
LinkIn = Annotated[LinkByQr | LinkByCode, Field(discriminator="method")]


class SessionOut(Answer):
    id: UUID
    name: str
    state: Session.State
    state_reason: str
    """A stable code; empty when there is nothing to say."""
    state_detail: str
    """The same in plain words, for people."""
    state_changed_at: datetime | None
    desired: Session.Desired
    """What is wanted of it; `state` is what is true."""
    linked: bool
    phone: str
    """E.164 of the linked number; empty while none is linked."""
    push_name: str
    linked_at: datetime | None
    connected_at: datetime | None
    retry_at: datetime | None
    """When the connection is tried again; null while nothing waits for that."""
    link_until: datetime | None
    """Linking is under way until then."""
    created_at: datetime


class SessionPage(Answer):
    items: list[SessionOut]
    next_cursor: str | None
    """Null on the last page."""


class BudgetOut(Answer):
    limit: int | None
    """Null: no limit."""
    used: int
    left: int | None
    resets_at: datetime | None
    """A day's: the restaurant's next midnight. An hour's: when the next message leaves the last 60 minutes, null without one."""


class LaneOut(Answer):
    lane: Literal["warm", "cold", "new"]
    day: BudgetOut
    """Of a calendar day of the restaurant. To strangers the first message to each counts, which is the lane `new`."""
    hour: BudgetOut
    warming_up: bool
    """The day's limit is the warm-up's and rises with each good day."""
    next_at: datetime
    """When the next normal message may go."""
    hold_reason: str
    """Why not now, as a stable code; empty when only the pace decides."""
    hold_detail: str


class RiskReasonOut(Answer):
    code: str
    points: int
    text: str


class RiskOut(Answer):
    score: int
    """0 to 100: how likely WhatsApp is to restrict the number."""
    level: Literal["low", "raised", "high", "critical"]
    reasons: list[RiskReasonOut]
    """The heaviest first, in plain words."""


class SessionStatus(SessionOut):
    qr_available: bool
    pairing_code: str
    """To be typed on the phone; empty while there is none."""
    has_worker: bool
    """Whether a live worker looks after this session now."""
    waiting: int
    """Messages that wait in it, counted up to 10,001."""
    oldest_waiting_at: datetime | None


class SessionLimits(Answer):
    lanes: list[LaneOut]
    """What the number may send today, by lane, and what holds it."""
    risk: RiskOut


class QrOut(Answer):
    qr: str
    """The text of the QR code."""
    image: str
    """The QR code as a PNG, in base64."""
    generated_at: datetime
    expires_at: datetime
    """Never more than 5 minutes after generated_at; WhatsApp shows a new code well before."""


def out(session: Session) -> SessionOut:
    return SessionOut(**_columns(session))


def status(session: Session, **more: Any) -> SessionStatus:
    return SessionStatus(**_columns(session), **more)


def limits(known: Outlook, risk: Risk) -> SessionLimits:
    lanes = [_lane(lane, known) for lane in LANES]
    reasons = [RiskReasonOut(code=one.code, points=one.points, text=one.text) for one in risk.reasons]
    told = RiskOut(score=risk.score, level=risk.level, reasons=reasons)
    return SessionLimits(lanes=lanes, risk=told)


def _lane(lane: Lane, known: Outlook) -> LaneOut:
    budgets, answer = known.today(lane), known.next(lane)
    reason = answer.reason if isinstance(answer, Held) else ""
    return LaneOut(
        lane=lane.value,
        day=_budget(budgets.day),
        hour=_budget(budgets.hour),
        warming_up=budgets.warming_up,
        next_at=answer.until if isinstance(answer, Held) else answer.at,
        hold_reason=reason,
        hold_detail=sentence(reason),
    )


def _budget(budget: Budget) -> BudgetOut:
    return BudgetOut(limit=budget.limit, used=budget.used, left=budget.left, resets_at=budget.resets_at)


def _columns(session: Session) -> dict[str, Any]:
    derived = {"linked": session.linked_at is not None}
    return derived | {name: getattr(session, name) for name in SessionOut.model_fields if name not in derived}
