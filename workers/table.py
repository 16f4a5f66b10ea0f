"""The sessions this worker owns, as it knows them. Touched by the engine's loop alone, so nothing here is locked."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sessions_app.policy.reasons import Held
from sessions_app.policy.reconcile import Open, Wish
from sessions_app.policy.reconcile import Truth as Known
from sessions_app.services.ownership import Claimed
from sessions_app.services.session_state import SessionRow, Truth
from workers.pacer import Pacer


@dataclass(slots=True, eq=False)
class Owned:
    row: SessionRow  # wishes, as last read
    truth: Truth  # as last told by the bridge; `session_state.write_truths` makes the row say the same
    pacer: Pacer
    failures: int = 0
    open: Open = "no"
    linking_phone: str | None = None
    opened_at: float | None = None  # steady clock
    login_ended: float | None = None  # steady clock: connected, or over
    send_began: float | None = None  # steady clock
    send_ended: float | None = None  # steady clock
    proven: bool = False  # has been well connected since the last death that counts against it
    up_since: float | None = None  # steady clock
    heard: int = 0  # statuses taken from the bridge: tells a fresh answer from one that was overtaken
    acting: bool = False  # a call to the bridge about its connection is under way
    rest_until: float = 0.0  # steady clock: after an error
    wipe: bool = False  # WhatsApp has logged it out: the credentials are to be wiped
    asked_at: datetime | None = None  # when WhatsApp was last asked what it forbids the number, by the bridge itself too
    leaving: str = ""  # why it is being released
    in_flight: bool = False  # claimed and not settled
    due: datetime | None = None  # when its queue is looked into
    place: int = 0  # its number in the agenda
    slot: datetime | None = None  # what it is due for: a little later, since typing comes first
    held: Held | None = None  # why all that waits in it does so, beyond the pace
    later: bool = False  # it is due later than at its next slot: nothing that waits may go then

    @property
    def id(self) -> UUID:
        return self.row.id

    @property
    def term(self) -> int:
        return self.row.term

    @property
    def may_send(self) -> bool:
        return self.open == "connected" and self.truth.state == "connected" and self.row.desired == "online" and not self.leaving

    @property
    def being_linked(self) -> bool:
        return self.row.link_until is not None and not self.truth.linked

    @property
    def settled(self) -> bool:
        """Connected, and nothing else is wished: the many, so this is looked at first."""
        row = self.row
        return self.may_send and not self.wipe and row.restart_wish <= self.truth.restart_done and row.link_until is None

    def pause_left(self, now: datetime) -> float:
        """Seconds in which nobody would miss it: until its next slot, without end when nothing waits; negative with a send
        under way."""
        if self.in_flight:
            return -1.0
        return max(0.0, (self.due - now).total_seconds()) if self.due else math.inf

    def shift(self, step: timedelta) -> None:
        """The database's clock was set: what was to be waited for is as far away as before."""
        truth = self.truth
        self.pacer.shift(step)
        self.due = self.due and self.due + step
        self.slot = self.slot and self.slot + step
        self.asked_at = self.asked_at and self.asked_at + step
        truth.retry_at = truth.retry_at and truth.retry_at + step

    def wish(self) -> Wish:
        row, ended = self.row, self.truth.link_ended
        over = ended is not None and row.link_until is not None and row.link_until <= ended  # the row does not say so yet
        return Wish(
            desired=row.desired,
            link_until=None if over else row.link_until,
            link_phone="" if over else row.link_phone,
            restart_pending=row.restart_wish > self.truth.restart_done,
        )

    def known(self) -> Known:
        truth = self.truth
        return Known(truth.linked, truth.state, self.open, self.linking_phone, truth.retry_at)


def adopt(row: SessionRow, pacer: Pacer) -> Owned:
    truth = Truth(
        session=row.id,
        term=row.term,
        state=row.state,
        reason=row.state_reason,
        detail=row.state_detail,
        retry_at=row.retry_at,
        failures=row.failures,
        linked=row.linked_at is not None,
        phone=row.phone,
        lid=row.lid,
        push_name=row.push_name,
        connected_at=row.connected_at,
        restart_done=row.restart_done,
        crashes=row.crashes,
        bridge_deaths=row.bridge_deaths,
    )
    return Owned(row=row, truth=truth, pacer=pacer, failures=row.failures)


class Table:
    def __init__(self) -> None:
        self._owned: dict[UUID, Owned] = {}

    def __len__(self) -> int:
        return len(self._owned)

    def __iter__(self) -> Iterator[Owned]:
        return iter(list(self._owned.values()))

    def get(self, session: UUID) -> Owned | None:
        return self._owned.get(session)

    def holds(self, owned: Owned) -> bool:
        return self._owned.get(owned.id) is owned

    def add(self, owned: Owned) -> None:
        self._owned[owned.id] = owned

    def remove(self, owned: Owned) -> None:
        if self.holds(owned):
            del self._owned[owned.id]


def claims_of(sessions: Sequence[Owned]) -> list[Claimed]:
    return [Claimed(owned.id, owned.term) for owned in sessions]
