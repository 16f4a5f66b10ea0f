"""Any order of accepting, claiming, answers, crashes, take-overs, receipts, expiry and withdrawal, against the real services.

`Model` knows what the wire has seen and what was promised. Each rule does one thing to the database; the invariants are looked
at after each. Time does not pass by itself: deadlines are moved into the past instead.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from sessions_app.errors import Conflict
from sessions_app.models import Message, MessageEvent, Restaurant, Session, Worker
from sessions_app.policy.retry import Outcome, judge
from sessions_app.services import claims, inbound, messages, ownership, receipts, sending, sessions, sweeps
from sessions_app.services.claims import Claim, Due
from sessions_app.services.ownership import Claimed, Registration
from sessions_app.services.receipts import Fact
from sessions_app.services.settlements import Settlement
from tests.support.owning import ago, linked

RANK = {"sent": 1, "delivered": 2, "read": 3}
FINAL = {"sent", "delivered", "read", "failed", "canceled", "expired"}
WORKERS, SESSIONS = 2, 2
PRIORITIES = ("urgent", "high", "normal", "low")
MOSTLY = st.sampled_from([True, True, True, False])
ANSWERS = [
    Outcome("acked"),
    Outcome("rejected", "463"),
    Outcome("rejected", "479"),
    Outcome("rejected", "429"),
    Outcome("not_sent", "not_connected"),
    Outcome("not_sent", "no_devices"),
    Outcome("not_sent", "expired"),
    Outcome("not_sent", "not_on_whatsapp"),
    Outcome("unknown", "ack_timeout"),
    Outcome("unknown", "connection_lost"),
    Outcome("unknown", "connection_lost"),
]


@dataclass
class Owner:
    """A worker process: what it believes it owns, and the sends it has under way. A crash leaves both behind."""

    me: Registration
    owned: dict[UUID, Claimed] = field(default_factory=dict)
    under_way: list[Claim] = field(default_factory=list)
    zombie: bool = False  # it has lost its lease, and does not know

    def idle(self) -> list[Claimed]:
        busy = {claim.session for claim in self.under_way}
        return [one for one in self.owned.values() if one.session not in busy]


class Lifecycle(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        Restaurant.objects.all().delete()
        Worker.objects.all().delete()
        self.restaurant = Restaurant.objects.create(name=f"Trattoria {uuid4()}", default_region="DE")
        self.sessions = [linked(sessions.create(restaurant=self.restaurant, name=f"s{n}")) for n in range(SESSIONS)]
        self.owners: list[Owner] = []
        self.ghosts: list[Owner] = []  # frozen processes whose name has another process by now
        self.accepted: dict[UUID, UUID] = {}  # message: session
        self.wa_ids: dict[UUID, str] = {}
        self.closed: set[UUID] = set()  # withdrawn or too old: nobody may hand them over any more
        self.on_wire: dict[UUID, int] = defaultdict(int)
        self.statuses: dict[UUID, str] = {}

    @initialize(priorities=st.lists(st.sampled_from(PRIORITIES), min_size=3, max_size=6))
    def begin(self, priorities: list[str]) -> None:
        """One worker owns everything, and there is something to do."""
        self.owners = [Owner(_register(number)) for number in range(WORKERS)]
        self._take(self.owners[0])
        for number, priority in enumerate(priorities):
            self.enqueue(number % SESSIONS, priority, later=False, expires=number % 3 == 2)

    # --- What callers do

    @rule(which=st.integers(0, SESSIONS - 1), priority=st.sampled_from(PRIORITIES), later=st.booleans(), expires=st.booleans())
    def enqueue(self, which: int, priority: str, later: bool, expires: bool) -> None:
        now = timezone.now()
        made = messages.enqueue(
            session=self.sessions[which],
            to="+4915112345678",
            body="hello",
            priority=priority,
            not_before=now + timedelta(hours=1) if later else None,
            expires_at=now + timedelta(hours=2) if expires else None,
        ).message
        self.accepted[made.pk], self.wa_ids[made.pk] = made.session_id, made.wa_id

    @precondition(lambda self: self.accepted)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        message = self._any_message(data)
        waited = message.status in {"queued", "scheduled"}
        try:
            messages.cancel(message=message)
        except Conflict:
            assert not waited
        else:
            assert waited
            self.closed.add(message.pk)

    @precondition(lambda self: self.accepted)
    @rule(data=st.data())
    def grow_old(self, data: st.DataObject) -> None:
        """Its time runs out. What is under way at this moment may still arrive; nothing is handed over after it."""
        message = self._any_message(data)
        if message.expires_at is None:
            return
        Message.objects.filter(pk=message.pk).update(expires_at=ago(seconds=1), not_before=ago(hours=1))
        if message.status in {"queued", "scheduled"}:
            self.closed.add(message.pk)

    @rule(on=MOSTLY)
    def switch_resending(self, on: bool) -> None:
        Restaurant.objects.update(resend_uncertain=on)

    @rule(on=MOSTLY)
    def switch_the_restaurant(self, on: bool) -> None:
        Restaurant.objects.update(is_active=on)

    # --- What time does

    @rule(waits_end=MOSTLY, a_day_later=st.booleans())
    def sweep(self, waits_end: bool, a_day_later: bool) -> None:
        if waits_end:
            Message.objects.filter(not_before__gt=timezone.now()).update(not_before=ago(seconds=1))
        if a_day_later:
            Message.objects.filter(status="uncertain").update(sending_at=ago(hours=25))
        rows = list(Message.objects.select_related("restaurant"))
        sweeps.expire_messages()
        sweeps.fail_unconfirmed()
        sweeps.release_scheduled()
        assert dict(Message.objects.values_list("pk", "status")) == {row.pk: _swept(row, timezone.now()) for row in rows}

    # --- What owners do

    @rule(number=st.integers(0, WORKERS - 1))
    def take_sessions(self, number: int) -> None:
        self._take(self.owners[number])

    @rule(data=st.data(), outcome=st.sampled_from([None] * len(ANSWERS) + ANSWERS), twice=st.booleans())
    def tick(self, data: st.DataObject, outcome: Outcome | None, twice: bool) -> None:
        """Claims for every session it believes to be its own, as a loop does that has not noticed anything yet; the second time
        for those, too, that have one under way. What it claims is answered at once, or stays under way."""
        owner = self._some_owner(data)
        owner.under_way += self._claim(owner, owner.idle())
        if twice:
            owner.under_way += self._claim(owner, list(owner.owned.values()))
        if outcome:
            for claim in list(owner.under_way):
                self._answer(owner, claim, outcome)

    @precondition(lambda self: any(owner.under_way for owner in self.owners))
    @rule(data=st.data(), outcome=st.sampled_from(ANSWERS), told=st.integers(1, 2), receipt_first=st.booleans())
    def answer(self, data: st.DataObject, outcome: Outcome, told: int, receipt_first: bool) -> None:
        """Late, perhaps after a receipt, perhaps twice (a commit in doubt is repeated), perhaps to a former owner."""
        owner = data.draw(st.sampled_from([owner for owner in self.owners if owner.under_way]), label="owner")
        claim = data.draw(st.sampled_from(owner.under_way), label="claim")
        if outcome.kind == "acked" and receipt_first:
            _report(claim.session, claim.wa_id, "delivered")
        self._answer(owner, claim, outcome, told)

    @rule(data=st.data())
    def commit_in_doubt(self, data: st.DataObject) -> None:
        """A claim was committed and its answer never came: the same owner gives it back, as it was."""
        owner = self._some_owner(data)
        idle = owner.idle()
        before = dict(Message.objects.values_list("pk", "status"))
        for claim in self._claim(owner, idle):
            self.on_wire[claim.message] -= 1  # nobody heard of it, so this time it was not sent
        claims.give_back(worker=owner.me.worker, sessions=idle)
        assert dict(Message.objects.values_list("pk", "status")) == before

    @rule(data=st.data())
    def hand_over(self, data: st.DataObject) -> None:
        """In order: only what has nothing under way; the other worker takes it."""
        owner = self._some_owner(data)
        idle = owner.idle()
        ownership.release(me=owner.me, owned=idle, reason="fair_share")
        for one in idle:
            del owner.owned[one.session]
        assert self._claim(owner, idle) == [], "claimed what it had let go"
        self._take(next(other for other in self.owners if other is not owner))

    @rule(number=st.integers(0, WORKERS - 1), noticed=st.booleans())
    def freeze(self, number: int, noticed: bool) -> None:
        """Its lease runs out while it believes to own everything it had; the other worker may take that at once."""
        frozen = self.owners[number]
        Worker.objects.filter(pk=frozen.me.worker).update(expires_at=ago(seconds=1))
        frozen.zombie = True
        if noticed:
            self._take(self.owners[1 - number])

    @rule(number=st.integers(0, WORKERS - 1), frozen=st.booleans())
    def restart(self, number: int, frozen: bool) -> None:
        """A crash, or a thaw that finds its lease gone: it starts again under its name and takes its own back. One that was only
        frozen goes on when it thaws, under the same name and the same worker's id."""
        if frozen:
            self.owners[number].zombie = True
            self.ghosts = [*self.ghosts[-2:], self.owners[number]]
        self.owners[number] = Owner(_register(number))
        self._take(self.owners[number])

    @precondition(lambda self: self.ghosts)
    @rule(data=st.data(), outcome=st.sampled_from(ANSWERS), lets_go=st.booleans())
    def thaw(self, data: st.DataObject, outcome: Outcome, lets_go: bool) -> None:
        """It does all that it can do before it finds out: answers, claims, renews, takes, lets go."""
        ghost = data.draw(st.sampled_from(self.ghosts), label="ghost")
        for claim in list(ghost.under_way):
            self._answer(ghost, claim, outcome)
        assert self._claim(ghost, list(ghost.owned.values())) == [], "claimed by a process that was replaced"
        assert not _renew(ghost.me), "renewed by a process that was replaced"
        self._take(ghost)
        if lets_go:
            assert ownership.release(me=ghost.me, owned=list(ghost.owned.values()), reason="fair_share") == 0

    @rule(which=st.integers(0, SESSIONS - 1), up=MOSTLY)
    def connection(self, which: int, up: bool) -> None:
        """It drops, or comes back."""
        Session.objects.filter(pk=self.sessions[which].pk).update(state="connected" if up else "disconnected")

    # --- What the network says

    @precondition(lambda self: any(self.on_wire.values()))
    @rule(data=st.data(), status=st.sampled_from(["sent", "delivered", "read"]))
    def receipt(self, data: st.DataObject, status: str) -> None:
        message = data.draw(st.sampled_from(sorted(pk for pk, times in self.on_wire.items() if times > 0)), label="message")
        _report(self.accepted[message], self.wa_ids[message], status)
        told = Message.objects.get(pk=message).status
        assert RANK[told] >= RANK[status], f"{told} after a receipt that said {status}"

    @precondition(lambda self: any(self.on_wire.values()))
    @rule(data=st.data(), code=st.sampled_from(["463", "479", "429"]))
    def late_refusal(self, data: st.DataObject, code: str) -> None:
        message = data.draw(st.sampled_from(sorted(pk for pk, times in self.on_wire.items() if times > 0)), label="message")
        receipts.apply([Fact(self.accepted[message], self.wa_ids[message], "sent", timezone.now(), refusal=code)])

    # --- What always holds

    @invariant()
    def what_was_promised_holds(self) -> None:
        rows = list(Message.objects.values_list("pk", "session_id", "wa_id", "status"))
        assert {pk: wa_id for pk, _, wa_id, _ in rows} == self.wa_ids, "a message is gone, or its id has changed"
        under_way = [session for _, session, _, status in rows if status == "sending"]
        assert len(under_way) == len(set(under_way)), "two messages of one session are under way"
        now = {pk: status for pk, _, _, status in rows}
        self._only_rises(now)
        assert dict(MessageEvent.objects.order_by("id").values_list("message_id", "status")) == now, "the timeline differs"

    def _only_rises(self, now: dict[UUID, str]) -> None:
        """What has arrived stays arrived; what is finished comes back by a receipt alone."""
        for message, status in now.items():
            before = self.statuses.get(message, status)
            assert RANK.get(status, 0) >= RANK.get(before, 0), f"{before} → {status}"
            assert status == before or status in RANK or before not in FINAL, f"{before} → {status}"
        self.statuses = now

    @invariant()
    def a_session_has_one_owner_at_most(self) -> None:
        terms = dict(Session.objects.values_list("pk", "term"))
        holders = [one.session for owner in self.owners for one in owner.owned.values() if one.term == terms[one.session]]
        assert len(holders) == len(set(holders))

    def teardown(self) -> None:
        """Afterwards, with one living worker that is answered "acked", every message ends: nothing is stuck."""
        if self.owners:
            self._let_everything_end()
        super().teardown()

    def _let_everything_end(self) -> None:
        Restaurant.objects.update(resend_uncertain=True, is_active=True)
        Worker.objects.update(expires_at=ago(seconds=1))
        last = Owner(_register(WORKERS))
        last.owned = {one.session: one for one in ownership.claim(me=last.me, limit=SESSIONS)}
        assert len(last.owned) == SESSIONS
        Session.objects.update(state="connected")
        for _ in range(len(self.accepted) + 1):
            self.sweep(waits_end=True, a_day_later=False)
            for claim in self._claim(last, list(last.owned.values())):
                sending.tick(worker=last.me.worker, settlements=[_settlement(claim, Outcome("acked"))], due=[])
        left = Message.objects.exclude(status__in=FINAL).values_list("status", flat=True)
        assert not left, f"stuck: {sorted(left)}"

    # --- Helpers

    def _some_owner(self, data: st.DataObject) -> Owner:
        """Mostly one that has something to do."""
        return data.draw(st.sampled_from([owner for owner in self.owners if owner.owned] or self.owners), label="owner")

    def _take(self, owner: Owner) -> None:
        for claimed in ownership.claim(me=owner.me, limit=SESSIONS):
            assert not owner.zombie, "a worker without a lease has claimed a session"
            owner.owned[claimed.session] = claimed
            Session.objects.filter(pk=claimed.session, term=claimed.term).update(state="connected")

    def _answer(self, owner: Owner, claim: Claim, outcome: Outcome, told: int = 1) -> None:
        owner.under_way.remove(claim)
        before = Message.objects.get(pk=claim.message).status
        for _ in range(told):
            sending.tick(worker=owner.me.worker, settlements=[_settlement(claim, outcome)], due=[])
        after = Message.objects.get(pk=claim.message).status
        if not Session.objects.filter(pk=claim.session, owner=owner.me.worker, term=claim.term).exists():
            assert after == before, "a former owner has settled something"
        elif outcome.kind == "acked":
            assert after in RANK, f"{after} after an ack"

    def _any_message(self, data: st.DataObject) -> Message:
        return Message.objects.get(pk=data.draw(st.sampled_from(sorted(self.accepted)), label="message"))

    def _claim(self, owner: Owner, due: list[Claimed]) -> list[Claim]:
        """One tick's claims, each compared with what should have been handed over."""
        before = list(Message.objects.select_related("restaurant").order_by("seq"))
        claims = sending.tick(worker=owner.me.worker, settlements=[], due=[Due(one.session, one.term) for one in due])
        rows = {row.pk: row for row in Session.objects.all()}
        for claim in claims:
            session = rows[claim.session]
            assert session.state == "connected" and before[0].restaurant.is_active
            assert (session.owner_id, session.term) == (owner.me.worker, claim.term), "claimed by somebody who is not the owner"
            assert claim.wa_id == self.wa_ids[claim.message]
            assert claim.message not in self.closed, "handed over after it was withdrawn or had expired"
            assert claim.message == _expected(before, claim.session), "not the one whose turn it is"
            self.on_wire[claim.message] += 1
        return claims


def _expected(rows: list[Message], session: UUID) -> UUID | None:
    """Whose turn it is: the unanswered first, then by priority, then in the order of acceptance."""
    now, mine = timezone.now(), [row for row in rows if row.session_id == session]
    assert not any(row.status == "sending" for row in mine), "handed over while another is under way"
    if mine and mine[0].restaurant.resend_uncertain:
        for row in mine:
            if row.status == "uncertain":
                return row.pk if row.not_before <= max(now, row.status_at) else None
    ready = [row for row in mine if row.status == "queued" and row.not_before <= max(now, row.status_at)]
    fresh = [row for row in ready if row.expires_at is None or row.expires_at > now]
    return min(fresh, key=lambda row: (row.priority, row.seq)).pk if fresh else None


def _swept(row: Message, now: datetime) -> str:
    """What time makes of it."""
    if row.status in {"scheduled", "queued"} and row.expires_at and row.expires_at <= now:
        return "expired"
    if (
        row.status == "uncertain"
        and row.restaurant.resend_uncertain
        and row.sending_at
        and row.sending_at < now - timedelta(days=1)
    ):
        return "failed"
    return "queued" if row.status == "scheduled" and row.not_before <= now else row.status


def _register(number: int) -> Registration:
    name = f"w{number}@here"
    me = ownership.register(name=name, queue=f"worker.{name}", hostname="here", pid=number + 1, capacity=100, ttl_s=600)
    assert _renew(me)
    return me


def _renew(me: Registration) -> bool:
    return ownership.renew(me=me, ttl_s=600, bridge_ready=True, bridge_detail="", draining=False) is not None


def _settlement(claim: Claim, outcome: Outcome) -> Settlement:
    """As the drain makes it."""
    now = timezone.now()
    verdict = judge(outcome, tries=claim.tries, resend=claim.resend, now=now, jitter=0.5)
    retry_at = verdict.retry_at and verdict.retry_at + timedelta(hours=1)  # no wait ends by itself
    return Settlement(
        message=claim.message,
        session=claim.session,
        term=claim.term,
        to_phone=claim.to_phone,
        lane=claim.lane,
        status=str(verdict.next),
        at=now,
        code=verdict.code,
        detail=verdict.detail,
        not_before=retry_at,
        hold_until=retry_at or verdict.session_until,
        sent_at=now if verdict.on_wire else None,
    )


def _report(session: UUID, wa_id: str, status: str) -> None:
    """As a bridge reports it."""
    kind, data = ("message.ack", {"id": wa_id}) if status == "sent" else ("message.receipt", {"id": wa_id, "status": status})
    event = {"id": str(uuid4()), "session": str(session), "type": kind, "at": datetime.now(UTC).isoformat(), "data": data}
    counts = inbound.record(bridge="model", events=[event])
    assert counts["applied"] == 1


@pytest.mark.django_db
def test_every_order_of_events_keeps_what_was_promised() -> None:
    run_state_machine_as_test(
        Lifecycle,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
