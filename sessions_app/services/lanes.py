"""In which lane a message waits: its customer has written to this number, or is a stranger; and who has opted out."""

from typing import NamedTuple

from django.db.models import Q

from sessions_app.models import Contact, Message, Session
from sessions_app.policy.lanes import lane_of

Lane = Message.Lane


class Recipient(NamedTuple):
    lane: Lane
    opted_out: bool


def of_recipient(*, session: Session, phone: str) -> Recipient:
    """As it is now; the lane follows when the customer writes, the opt-out is looked at again when the message is claimed."""
    known = Contact.objects.filter(session=session, phone=phone).values_list(
        "last_inbound_at", "last_outbound_at", "opted_out_at"
    )
    for wrote_at, written_at, opted_out_at in known:
        return Recipient(_lane(session, bool(wrote_at), bool(written_at)), opted_out_at is not None)
    return Recipient(_lane(session, False, False), False)


def _lane(session: Session, wrote: bool, written: bool) -> Lane:
    if not session.restaurant.protect_strangers:
        return Lane.WARM
    return Message.Lane[lane_of(wrote=wrote, written_to=written).name]


def warm(*, contacts: list[Contact]) -> None:
    """These have written: what waits for them is no message to a stranger any more. Inside the caller's transaction."""
    for contact in contacts:
        if contact.phone:
            waiting = Q(status__in=(Message.Status.QUEUED, Message.Status.SCHEDULED)) & ~Q(lane=Lane.WARM)
            mine = Message.objects.filter(
                restaurant_id=contact.restaurant_id, to_phone=contact.phone, session_id=contact.session_id
            )
            mine.filter(waiting).update(lane=Lane.WARM)
