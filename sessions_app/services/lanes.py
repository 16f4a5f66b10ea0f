"""In which lane a message waits: its customer has written to this number, or is a stranger; and who has opted out."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now

from sessions_app.models import Contact, Message, Restaurant, Session
from sessions_app.policy.lanes import lane_of
from sessions_app.policy.reasons import Reason
from sessions_app.policy.retry import LOOKUP_THROTTLED
from sessions_app.services import wakeups
from sessions_app.services.sql import execute, fetch

Lane = Message.Lane
RANKED_AT_ONCE = 5_000
_STRANGERS_ONLY = Q(hold_reason__in=(Reason.CONTACT_PARKED, Reason.IDENTICAL_TEXT, LOOKUP_THROTTLED))


class Recipient(NamedTuple):
    lane: Lane
    opted_out: bool


def of_recipient(*, session: Session, phone: str) -> Recipient:
    """As it is now; the lane follows when the customer writes, the opt-out is looked at again when the message is claimed."""
    known = Contact.objects.filter(session=session, phone=phone).values_list(
        "last_inbound_at", "last_outbound_at", "opted_out_at", "refusals", "on_whatsapp"
    )
    for wrote_at, written_at, opted_out_at, refusals, on_whatsapp in known:
        opened = bool(written_at) and (not refusals or bool(on_whatsapp))  # WhatsApp may have refused all there was
        opened = opened and _to_this_number(session, written_at)
        return Recipient(_lane(session, _to_this_number(session, wrote_at), opened), opted_out_at is not None)
    return Recipient(_lane(session, False, False), False)


def has_written(contact: Contact) -> bool:
    """To the number that is linked now."""
    return _to_this_number(contact.session, contact.last_inbound_at)


def _to_this_number(session: Session, at: datetime | None) -> bool:
    """And not to one that was linked before it."""
    return at is not None and (session.history_since is None or at >= session.history_since)


def _lane(session: Session, wrote: bool, written: bool) -> Lane:
    if not session.restaurant.protect_strangers:
        return Lane.WARM
    return Message.Lane[lane_of(wrote=wrote, written_to=written).name]


def warm(*, contacts: list[Contact]) -> None:
    """These have written: what waits for them is no message to a stranger any more, nor held as one. Inside the caller's
    transaction, which holds all that waits for them from now on."""
    _lock_waiting([contact for contact in contacts if contact.phone])
    for contact in contacts:
        if contact.phone:
            mine = Message.objects.filter(
                restaurant_id=contact.restaurant_id, to_phone=contact.phone, session_id=contact.session_id
            )
            waiting = mine.filter(status__in=Message.WAITING)
            waiting.filter(~Q(lane=Lane.WARM) | _STRANGERS_ONLY).update(
                lane=Lane.WARM,
                hold_reason=Case(When(_STRANGERS_ONLY, then=Value("")), default=F("hold_reason")),
                hold_until=Case(When(_STRANGERS_ONLY, then=None), default=F("hold_until")),
                not_before=Case(When(_STRANGERS_ONLY, then=Now()), default=F("not_before")),
                held=Case(When(_STRANGERS_ONLY, then=False), default=F("held")),
            )


_THEIRS = """
    JOIN unnest(%(restaurant)s::uuid[], %(session)s::uuid[], %(phone)s::text[]) AS c(restaurant, session, phone)
      ON m.restaurant_id = c.restaurant AND m.to_phone = c.phone AND m.session_id = c.session"""


def _columns(customers: Sequence[tuple[UUID, UUID, str]]) -> dict[str, list[UUID] | list[str]]:
    """Restaurant, session and number of each, for `_THEIRS`."""
    restaurants, sessions, phones = zip(*customers, strict=True)
    return {"restaurant": list(restaurants), "session": list(sessions), "phone": list(phones)}


# What somebody else holds at this moment is being claimed, withdrawn or warmed. Who waited for it here, holding customers and
# messages, could be waited for in a circle.
_OPEN = f"""
    WITH waiting AS MATERIALIZED (
        SELECT m.id FROM message m {_THEIRS}
        WHERE m.lane = 2 AND m.status IN ('queued', 'scheduled')
        FOR NO KEY UPDATE OF m SKIP LOCKED
    )
    UPDATE message m SET lane = 1 FROM waiting WHERE m.id = waiting.id"""


def open_chats(*, messages: Sequence[Message]) -> None:
    """Each was the first to a stranger and has come through: what waits for them opens no chat any more."""
    if messages:
        execute(_OPEN, _columns([(message.restaurant_id, message.session_id, message.to_phone) for message in messages]))


# Of all of them at once and in the order of ids, as claims lock them: two customers who write at the same moment may each wait
# for a message that is just being claimed.
_LOCK_WAITING = f"""
    SELECT m.id FROM message m {_THEIRS}
    WHERE m.status IN ('queued', 'scheduled')
    ORDER BY m.id FOR NO KEY UPDATE OF m"""


def _lock_waiting(contacts: list[Contact]) -> None:
    if contacts:
        execute(_LOCK_WAITING, _columns([(contact.restaurant_id, contact.session_id, contact.phone) for contact in contacts]))


# A customer who has written stays warm; the rest as `of_recipient` has it.
_RANK = """
    WITH waiting AS MATERIALIZED (
        SELECT m.id, CASE WHEN k.last_outbound_at >= since.at AND (k.refusals = 0 OR k.on_whatsapp) THEN 1 ELSE 2 END AS lane
        FROM wa_session s CROSS JOIN LATERAL (SELECT COALESCE(s.history_since, '-infinity') AS at) since
        JOIN message m ON m.session_id = s.id AND m.status IN ('queued', 'scheduled') AND m.lane = 0 AND NOT m.exempt
        LEFT JOIN contact k ON k.session_id = s.id AND k.phone = m.to_phone AND k.phone <> ''
        WHERE s.restaurant_id = %(restaurant)s AND (k.last_inbound_at IS NULL OR k.last_inbound_at < since.at)
        ORDER BY m.priority, m.seq LIMIT %(most)s
    ), locked AS MATERIALIZED (
        SELECT m.id FROM message m JOIN waiting USING (id) ORDER BY m.id FOR NO KEY UPDATE OF m
    )
    UPDATE message m SET lane = waiting.lane FROM waiting JOIN locked USING (id)
    WHERE m.id = waiting.id AND m.status IN ('queued', 'scheduled')"""

_FREE = """
    WITH held AS MATERIALIZED (
        SELECT m.id FROM wa_session s JOIN message m ON m.session_id = s.id AND m.status = 'queued'
        WHERE s.restaurant_id = %(restaurant)s AND m.hold_reason = 'identical_text' AND m.id > %(after)s
        ORDER BY m.id LIMIT %(most)s FOR NO KEY UPDATE OF m
    ), free AS (
        UPDATE message m SET held = false, hold_reason = '', hold_until = NULL, not_before = clock_timestamp() FROM held
        WHERE m.id = held.id AND m.status = 'queued'
    )
    SELECT id FROM held ORDER BY id DESC LIMIT 1"""


class _Last(NamedTuple):
    id: UUID


def rules_have_changed(*, restaurant: Restaurant) -> None:
    """What waits goes by the restaurant's present rules for strangers, a part at a time: outside of any transaction. Owners are
    told first, or they would go by the rules before for some seconds; they hold again what the rules hold, so each message is
    let go once."""
    wakeups.wake(Session.objects.filter(restaurant=restaurant, deleted_at=None).values_list("pk", flat=True), coalesce=False)
    values = {"restaurant": restaurant.pk, "most": RANKED_AT_ONCE}
    while restaurant.protect_strangers and execute(_RANK, values):
        pass
    last = [_Last(UUID(int=0))]
    while last:
        last = fetch(_Last, _FREE, {**values, "after": last[0].id})
