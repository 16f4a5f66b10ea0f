"""When a session's lanes may send: policy, with what one session has sent and what is known of its number."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from sessions_app.policy.availability import Ready, gates, slot_at, when
from sessions_app.policy.lanes import LANES, Lane
from sessions_app.policy.ledger import Ledger, noted
from sessions_app.policy.priorities import Priority, is_the_oldests
from sessions_app.policy.reasons import Held
from sessions_app.policy.rules import Number
from sessions_app.services import ledgers, rules, standing
from sessions_app.services.claims import NOTHING, Due, Waiting
from sessions_app.services.rules import Rules
from sessions_app.services.session_state import SessionRow
from sessions_app.services.tallies import Quarter

_MS = timedelta(milliseconds=1)


@dataclass(slots=True)
class Pacer:
    """`floor`: nothing goes before; what held the session as a whole. `strangers`: what holds both lanes of strangers besides
    policy. `turn` counts the messages it has begun to send; a look that finds nothing, or a resend, is no turn."""

    rules: Rules
    number: Number
    ledger: Ledger
    floor: datetime | None = None
    strangers: Held | None = None
    turn: int = 0

    def slot(self, now: datetime, lane: Lane = Lane.WARM) -> datetime:
        """By the pace alone; `now` when that has passed."""
        slot = slot_at(lane, ledger=self.ledger, policy=self.rules.policy, number=self.number, now=now)
        return slot if self.floor is None else max(slot, self.floor)

    def opens(self, waiting: Waiting, now: datetime) -> Ready | Held:
        """When the first of what waits may go, and if not by the pace alone, why not sooner."""
        slot = self.slot(now)
        if waiting.unanswered:
            return Ready(slot)
        lanes = zip(LANES, (waiting.warm, waiting.cold, waiting.new), strict=True)
        answers = [self._when(lane, priority, slot) for lane, priority in lanes if priority is not None]
        return min(answers, key=moment, default=Ready(slot))

    def due(self, session: SessionRow, at: datetime) -> Due:
        """What may be claimed for the slot at `at`."""
        open_ = gates(ledger=self.ledger, policy=self.rules.policy, number=self.number, now=at)
        holds_strangers = self._holds_strangers(at)
        warm_slot, warm_ms = self._pause(Lane.WARM)
        cold_slot, cold_ms = self._pause(Lane.COLD)
        return Due(
            session=session.id,
            term=session.term,
            warm=_upto(open_.warm),
            cold=NOTHING if holds_strangers else _upto(open_.cold),
            new=NOTHING if holds_strangers else _upto(open_.new),
            oldest=is_the_oldests(self.turn),
            warm_slot=warm_slot,
            warm_delay_ms=warm_ms,
            cold_slot=cold_slot,
            cold_delay_ms=cold_ms,
            gap_s=self.rules.gap.total_seconds(),
            identical=self.rules.identical if self.rules.protects else None,
        )

    def sent(self, lane: int, at: datetime, jitter: float) -> None:
        """One more has gone over the wire."""
        self.ledger = noted(self.ledger, LANES[lane], at=at, jitter=jitter, policy=self.rules.policy)

    def shift(self, step: timedelta) -> None:
        """The database's clock was set."""
        self.floor = self.floor and self.floor + step
        self.strangers = self.strangers and replace(self.strangers, until=self.strangers.until + step)
        self.ledger = ledgers.shifted(self.ledger, step)

    def _pause(self, lane: Lane) -> tuple[datetime | None, int]:
        """When the pause after the last message ends, and how long it is: after anybody's, or for strangers after the last
        one to a stranger."""
        last = self.ledger.latest if lane is Lane.WARM else self.ledger.cold
        since = last.last_sent_at
        if since is None:
            return None, 0
        ledger = self.ledger if lane is Lane.WARM else Ledger(cold=last)
        ends_at = slot_at(lane, ledger=ledger, policy=self.rules.policy, number=self.number, now=since)
        return ends_at, (ends_at - since) // _MS

    def _when(self, lane: Lane, priority: int, slot: datetime) -> Ready | Held:
        answer = when(lane, Priority(priority), ledger=self.ledger, policy=self.rules.policy, number=self.number, now=slot)
        return self.strangers if self.strangers and lane is not Lane.WARM and moment(answer) < self.strangers.until else answer

    def _holds_strangers(self, at: datetime) -> bool:
        return self.strangers is not None and self.strangers.until > at


def of_row(row: SessionRow, quarters: Sequence[Quarter], now: datetime) -> Pacer:
    """For a session that has just been taken over. A clock that was set back since counts a pause from now at the latest."""
    known = rules.of(row.chosen)
    ledger = ledgers.of_session(row, quarters, policy=known.policy, now=now)
    pacer = Pacer(known, number_of(row, now), ledger, row.next_send_at)
    if row.last_sent_at and row.last_sent_at > now:
        pacer.shift(now - row.last_sent_at)
    return pacer


def number_of(row: SessionRow, now: datetime) -> Number:
    return rules.number(
        standing=standing.parse(row.standing),
        first_linked_at=row.first_linked_at,
        declared_days=row.declared_days,
        declared_on=row.declared_on,
        zone=ZoneInfo(row.chosen.time_zone),
        now=now,
    )


def moment(answer: Ready | Held) -> datetime:
    return answer.at if isinstance(answer, Ready) else answer.until


def _upto(priority: Priority | None) -> int:
    return NOTHING if priority is None else int(priority)
