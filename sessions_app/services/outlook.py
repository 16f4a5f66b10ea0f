"""What a number may send next and why not more: told from its row as its owner tells it, for the API and the admin."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models.functions import Now
from django.utils import timezone

from sessions_app.models import Session, Worker
from sessions_app.policy import availability
from sessions_app.policy.availability import Budgets, Ready
from sessions_app.policy.lanes import Lane
from sessions_app.policy.ledger import Ledger
from sessions_app.policy.priorities import Priority
from sessions_app.policy.reasons import Held
from sessions_app.policy.rules import Number
from sessions_app.services import ledgers, rules, standing, tallies
from sessions_app.services.rules import Rules


@dataclass(frozen=True, slots=True)
class Outlook:
    """All that decides when a session sends, as of `now`. `owned`: by a worker that lives."""

    rules: Rules
    number: Number
    ledger: Ledger
    now: datetime
    owned: bool = True

    def when(self, lane: Lane, priority: Priority = Priority.NORMAL) -> Ready | Held:
        return availability.when(lane, priority, ledger=self.ledger, policy=self.rules.policy, number=self.number, now=self.now)

    def today(self, lane: Lane) -> Budgets:
        return availability.today(lane, ledger=self.ledger, policy=self.rules.policy, number=self.number, now=self.now)


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
    owned = session.owner_id in alive if session.owner_id else session.state == Session.State.CONNECTED
    return Outlook(chosen, number, ledgers.of_session(session, quarters, policy=chosen.policy, now=now), now, owned)
