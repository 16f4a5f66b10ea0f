"""What a number may send next and why not more: told from its row as its owner tells it, for the API and the admin."""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models.functions import Now
from django.utils import timezone

from sessions_app.models import Message, Session, Worker
from sessions_app.policy import availability
from sessions_app.policy.availability import Budgets, Ready
from sessions_app.policy.lanes import Lane
from sessions_app.policy.ledger import Ledger
from sessions_app.policy.local_time import local_day
from sessions_app.policy.priorities import Priority
from sessions_app.policy.reasons import Held, Reason
from sessions_app.policy.rules import Number, Policy
from sessions_app.services import ledgers, rules, standing, tallies
from sessions_app.services.rules import Rules

State = Session.State
_A_MOMENT = timedelta(seconds=1)
_NOT_SENDING = {
    State.UNLINKED: Reason.NOT_LINKED,
    State.LINKING: Reason.NOT_LINKED,
    State.STOPPED: Reason.STOPPED,
    State.LOGGED_OUT: Reason.LOGGED_OUT,
    State.BLOCKED: Reason.BLOCKED,
}
_BLOCKED = {"quarantined": Reason.QUARANTINED, "banned_temporarily": Reason.BANNED}


@dataclass(frozen=True, slots=True)
class Outlook:
    """All that decides when a session sends, as of `now`. `owned`: by a worker that lives. `stopped`: what keeps it from sending
    at all. `floor`: what holds the whole session for longer than its pace. `followed`: what went to strangers today who had been
    written to before."""

    rules: Rules
    number: Number
    ledger: Ledger
    now: datetime
    owned: bool = True
    stopped: Held | None = None
    floor: datetime | None = None
    followed: int = 0

    def next(self, lane: Lane) -> Ready | Held:
        """Of a normal message."""
        return self.stopped or self.when(lane)

    def when(self, lane: Lane, priority: Priority = Priority.NORMAL) -> Ready | Held:
        """Once it may send at all."""
        at = max(self.now, self.floor) if self.floor else self.now
        answer = availability.when(lane, priority, ledger=self.ledger, policy=self.rules.policy, number=self.number, now=at)
        return Held(Reason.NUMBER_HELD, answer.at) if isinstance(answer, Ready) and answer.at == self.floor else answer

    def today(self, lane: Lane) -> Budgets:
        """Each lane's own count."""
        found = availability.today(lane, ledger=self.ledger, policy=self.rules.policy, number=self.number, now=self.now)
        return found if lane is not Lane.COLD else replace(found, day=replace(found.day, used=self.followed))


def of_sessions(sessions: Sequence[Session], *, now: datetime | None = None) -> dict[UUID, Outlook]:
    """Two queries for all of them; their restaurants have been fetched."""
    at = now or timezone.now()
    sent = tallies.recent(sessions=[session.pk for session in sessions])
    alive = set(Worker.objects.filter(expires_at__gt=Now()).values_list("pk", flat=True))
    return {session.pk: _of(session, sent.get(session.pk, ()), at, alive) for session in sessions}


def of_session(session: Session, *, now: datetime | None = None) -> Outlook:
    return of_sessions([session], now=now)[session.pk]


def _of(session: Session, quarters: Sequence[tallies.Quarter], now: datetime, alive: Container[UUID]) -> Outlook:
    chosen = rules.of_restaurant(session.restaurant)
    number = rules.number(
        standing=standing.read(session.standing),
        first_linked_at=session.first_linked_at,
        declared_days=session.declared_days,
        declared_on=session.declared_on,
        zone=ZoneInfo(session.restaurant.time_zone),
        now=now,
    )
    # Only an owner says that it is connected, and takes that back when it lets go.
    owned = session.owner_id in alive if session.owner_id else session.state == State.CONNECTED
    ledger = ledgers.of_session(session, quarters, policy=chosen.policy, now=now)
    floor = _floor(session, ledger, chosen.policy, number, now)
    return Outlook(
        chosen, number, ledger, now, owned, _stopped(session, owned, now), floor, _followed(quarters, chosen.policy, now)
    )


def _stopped(session: Session, owned: bool, now: datetime) -> Held | None:
    if not session.restaurant.is_active:
        return Held(Reason.RESTAURANT_OFF, now)
    if (reason := _NOT_SENDING.get(State(session.state))) is not None:
        reason = _BLOCKED.get(session.state_reason, reason) if session.state == State.BLOCKED else reason
        return Held(reason, session.retry_at or now)
    if not owned:
        return Held(Reason.NO_WORKER, now)
    if session.state == State.DISCONNECTED and session.retry_at is not None and session.retry_at > now:
        return Held(Reason.DISCONNECTED, session.retry_at)
    return None


def _floor(session: Session, ledger: Ledger, policy: Policy, number: Number, now: datetime) -> datetime | None:
    slot = availability.slot_at(Lane.WARM, ledger=ledger, policy=policy, number=number, now=now)
    return session.next_send_at if session.next_send_at and session.next_send_at > slot + _A_MOMENT else None


def _followed(quarters: Sequence[tallies.Quarter], policy: Policy, now: datetime) -> int:
    begins = local_day(policy.zone, now).starts_at
    return sum(one.sent for one in quarters if one.lane == Message.Lane.COLD and one.starts_at >= begins)
