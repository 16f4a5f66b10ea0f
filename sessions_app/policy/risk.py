"""How likely WhatsApp is to restrict a number, as a score from 0 to 100, with the reasons in words a manager understands.

WhatsApp tells nobody how it decides: the weights follow what it restricts numbers for by its own signals first, and what
practitioners report next. The score never falls when something gets worse, all else being equal.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sessions_app.policy.signals import CapStatus
from sessions_app.policy.warmup import RAMP

Level = Literal["low", "raised", "high", "critical"]
MOST = 100
SMALL = 10  # shares of fewer messages than about this say little, and count for less
OLD_DAYS = 90


@dataclass(frozen=True, slots=True)
class Facts:
    """All of the last 30 days but the age. `sent` went over the wire; `cold`, `identical` (to strangers, with a text that
    several strangers got) and `opted_out` (customers who wrote STOP) are counted of them. `answered` of `written_to`
    customers wrote back. `not_on_whatsapp`: of `looked_up` numbers."""

    age_days: int
    good_days: int
    sent: int = 0
    cold: int = 0
    identical: int = 0
    opted_out: int = 0
    written_to: int = 0
    answered: int = 0
    looked_up: int = 0
    not_on_whatsapp: int = 0
    refused: int = 0  # 463
    time_locks: int = 0
    bans: int = 0
    cap: CapStatus = CapStatus.NONE
    locked_now: bool = False
    banned_now: bool = False


@dataclass(frozen=True, slots=True)
class RiskReason:
    code: str
    points: int
    text: str


@dataclass(frozen=True, slots=True)
class Risk:
    """`reasons`: the heaviest first, those of at least one point."""

    score: int
    level: Level
    reasons: tuple[RiskReason, ...]


@dataclass(frozen=True, slots=True)
class _Factor:
    code: str
    weight: int  # its points at most
    weighs: Callable[[Facts], float]  # 0 to 1
    text: Callable[[Facts], str]


def risk(facts: Facts) -> Risk:
    weighed = [(factor, round(factor.weight * min(1.0, max(0.0, factor.weighs(facts))))) for factor in _FACTORS]
    reasons = [RiskReason(factor.code, points, factor.text(facts)) for factor, points in weighed if points]
    score = min(MOST, sum(reason.points for reason in reasons))
    return Risk(score, _level(score), tuple(sorted(reasons, key=lambda reason: -reason.points)))


def _level(score: int) -> Level:
    if score < 25:
        return "low"
    if score < 50:
        return "raised"
    return "high" if score < 75 else "critical"


def _share(part: int, whole: int) -> float:
    """The share, pulled towards nothing while the whole is small."""
    return part / (max(whole, part) + SMALL)


def _silence(facts: Facts) -> float:
    """The share of customers who never wrote back, beyond the half that is usual for order updates."""
    return 2 * _share(max(0, facts.written_to - facts.answered), facts.written_to) - 1


_CAP_WEIGHS = {CapStatus.NONE: 0.0, CapStatus.FIRST_WARNING: 0.4, CapStatus.SECOND_WARNING: 0.7, CapStatus.CAPPED: 1.0}
_FACTORS = (
    _Factor("banned_now", 75, lambda f: f.banned_now, lambda f: "WhatsApp has banned this number for a while."),
    _Factor(
        "bans", 50, lambda f: 1 - 0.4**f.bans, lambda f: f"WhatsApp has banned this number {_times(f.bans)} in the last month."
    ),
    _Factor("locked_now", 50, lambda f: f.locked_now, lambda f: "WhatsApp does not let this number write to strangers now."),
    _Factor(
        "time_locks",
        35,
        lambda f: 1 - 0.4**f.time_locks,
        lambda f: f"WhatsApp has kept it from writing to strangers {_times(f.time_locks)} in the last month.",
    ),
    _Factor(
        "new_chat_cap", 40, lambda f: _CAP_WEIGHS[f.cap], lambda f: "WhatsApp says its new chats are nearly or wholly used up."
    ),
    _Factor(
        "refused",
        30,
        lambda f: f.refused / 5,
        lambda f: f"WhatsApp has refused {_messages(f.refused)} to people who had not written first.",
    ),
    _Factor(
        "not_on_whatsapp",
        25,
        lambda f: 4 * _share(f.not_on_whatsapp, f.looked_up),
        lambda f: f"{f.not_on_whatsapp} of {f.looked_up} numbers it tried are not on WhatsApp: is the list of customers right?",
    ),
    _Factor(
        "opted_out",
        25,
        lambda f: 20 * _share(f.opted_out, f.sent),
        lambda f: f"{_customers(f.opted_out)} asked for no more messages; others may have blocked the number without a word.",
    ),
    _Factor(
        "strangers",
        20,
        lambda f: 1.5 * _share(f.cold, f.sent) - 0.25,
        lambda f: f"{f.cold} of {f.sent} messages went to people who had never written to it.",
    ),
    _Factor(
        "identical",
        20,
        lambda f: 2 * _share(f.identical, f.sent),
        lambda f: f"{f.identical} of {f.sent} messages were the same text to several strangers.",
    ),
    _Factor(
        "silence",
        15,
        _silence,
        lambda f: f"Only {f.answered} of {f.written_to} customers have ever written back.",
    ),
    _Factor(
        "young",
        15,
        lambda f: 1 - f.age_days / OLD_DAYS,
        lambda f: f"The number was first linked {_ago(f.age_days)}; WhatsApp watches new ones closely.",
    ),
    _Factor(
        "warming_up",
        10,
        lambda f: 1 - f.good_days / len(RAMP),
        lambda f: f"It has had {_days(f.good_days) if f.good_days else 'no day'} without a warning since its warm-up began.",
    ),
)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _messages(count: int) -> str:
    return "one message" if count == 1 else f"{count} messages"


def _customers(count: int) -> str:
    return "One customer" if count == 1 else f"{count} customers"


def _ago(days: int) -> str:
    return "today" if days < 1 else f"{_days(days)} ago"


def _days(count: int) -> str:
    return "one day" if count == 1 else f"{count} days"
