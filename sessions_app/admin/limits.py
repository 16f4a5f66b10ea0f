"""What a number may send today and how likely WhatsApp is to restrict it, as its page shows it."""

from dataclasses import dataclass
from datetime import datetime

from sessions_app.admin.words import Tone
from sessions_app.models import Session
from sessions_app.policy.budgets import Budget
from sessions_app.policy.lanes import LANES, Lane
from sessions_app.policy.reasons import Held, sentence
from sessions_app.policy.risk import Risk
from sessions_app.services import outlook, risk
from sessions_app.services.outlook import Outlook

_LANES = {
    Lane.WARM: ("Customers who have written", "as fast as the pace allows"),
    Lane.COLD: ("Strangers written to before", "slower"),
    Lane.NEW: ("New chats with strangers", "slower, and few a day at first"),
}
_TONES: dict[str, Tone] = {"low": "good", "raised": "warn", "high": "bad", "critical": "bad"}


@dataclass(frozen=True)
class LaneRow:
    name: str
    hint: str
    today: str
    hour: str
    why: str  # empty: it may send
    until: datetime | None


@dataclass(frozen=True)
class Limits:
    lanes: list[LaneRow]
    warming_up: bool
    risk: Risk
    tone: Tone


def limits_of(session: Session) -> Limits | None:
    """None before a number was ever linked: there is nothing to tell."""
    if session.first_linked_at is None:
        return None
    known = outlook.of_session(session)
    runs = risk.of_session(session, known)
    lanes = LANES if known.rules.protects else (Lane.WARM,)
    return Limits([_row(lane, known) for lane in lanes], known.today(Lane.NEW).warming_up, runs, _TONES[runs.level])


def _row(lane: Lane, known: Outlook) -> LaneRow:
    budgets, answer = known.today(lane), known.next(lane)
    held = answer if isinstance(answer, Held) else None
    name, hint = _LANES[lane]
    return LaneRow(
        name,
        hint,
        _budget(budgets.day),
        _budget(budgets.hour),
        sentence(held.reason) if held else "",
        held.until if held else None,
    )


def _budget(budget: Budget) -> str:
    return f"{budget.used} of {budget.limit}" if budget.limit is not None else f"{budget.used}, no limit"
