"""Customers who want no more messages, and those who want them again: heeded at once, answered once, with the proof kept."""

import secrets
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from sessions_app.errors import Conflict
from sessions_app.models import Consent, Contact, InboundMessage, Message, MessageEvent, Restaurant
from sessions_app.policy.optout import opt_word
from sessions_app.services import contacts, wakeups

Status = Message.Status
REPLIES = {
    Consent.Kind.STOP: "You will get no more messages from us. Write START if you want them again.",
    Consent.Kind.START: "Welcome back: you will get our messages again. Write STOP at any time.",
}


def heed(*, messages: Sequence[InboundMessage]) -> None:
    """Every STOP or START among newly stored messages, in the order given, inside the caller's transaction."""
    asking = [message for message in messages if message.contact_id and message.kind == "text"]
    restaurants = Restaurant.objects.in_bulk({message.restaurant_id for message in asking})
    for message in asking:
        word = _word(message.text, restaurants[message.restaurant_id])
        if word is not None and message.contact_id is not None:
            _decide(message.contact_id, word, text=message.text, wa_id=message.wa_id, at=message.sent_at)


@transaction.atomic
def decide(*, contact: Contact, kind: Consent.Kind, by: str) -> Contact:
    """A person says it for the customer, who asked in some other way. Raises Conflict when it is so already."""
    if not _decide(contact.pk, kind, text="", by=by, at=timezone.now()):
        raise Conflict(
            "This customer has opted out already." if kind == Consent.Kind.STOP else "This customer has not opted out."
        )
    contact.refresh_from_db()
    return contact


def _word(text: str, restaurant: Restaurant) -> Consent.Kind | None:
    found = opt_word(
        text,
        languages=_listed(restaurant.opt_out_languages),
        stop=_listed(restaurant.opt_out_words),
        start=_listed(restaurant.opt_in_words),
    )
    return Consent.Kind(found) if found else None


def _listed(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _decide(contact_id: UUID, kind: Consent.Kind, *, text: str, at: datetime, wa_id: str = "", by: str = "") -> bool:
    """Whether it changed anything; what was asked is on record in any case."""
    spellings = contacts.spellings(contact_id)
    contact = next(one for one in spellings if one.pk == contact_id)
    changed = any((one.opted_out_at is None) == (kind == Consent.Kind.STOP) for one in spellings)
    if not changed and by:
        return False
    Consent.objects.create(
        restaurant=contact.restaurant, session=contact.session, contact=contact, phone=contact.phone, lid=contact.lid,
        kind=kind, text=text[:200], wa_id=wa_id, by=by, at=at,
    )  # fmt: skip
    if not changed or Consent.objects.filter(contact__in=spellings, at__gt=at).exists():  # what was asked later has come first
        return False
    opted_out_at = at if kind == Consent.Kind.STOP else None
    Contact.objects.filter(pk__in=[one.pk for one in spellings]).update(opted_out_at=opted_out_at)
    if kind == Consent.Kind.STOP:
        _suppress(contact, [one.phone for one in spellings if one.phone])
    if contact.phone and not by:
        _answer(contact, kind)
    return True


def _suppress(contact: Contact, phones: list[str]) -> None:
    """What waits is not sent; what is under way may still arrive."""
    waiting = Message.objects.select_for_update().filter(
        restaurant=contact.restaurant_id, session=contact.session_id, to_phone__in=phones, status__in=Message.WAITING
    )
    found = list(waiting.order_by("pk").values_list("pk", flat=True))
    now = timezone.now()
    Message.objects.filter(pk__in=found).update(status=Status.SUPPRESSED, status_at=now, hold_reason="", hold_until=None)
    MessageEvent.objects.bulk_create(
        [MessageEvent(message_id=pk, at=now, status=Status.SUPPRESSED, detail={"reason": "opted_out"}) for pk in found],
        batch_size=1_000,
    )


def _answer(contact: Contact, kind: Consent.Kind) -> None:
    """Once: asking again changes nothing, so nothing is said again. It is exempt from the opt-out it confirms."""
    own = contact.restaurant.opt_out_reply if kind == Consent.Kind.STOP else contact.restaurant.opt_in_reply
    now = timezone.now()
    message = Message.objects.create(
        restaurant=contact.restaurant, session=contact.session, to_phone=contact.phone, body=own or REPLIES[kind],
        priority=Message.Priority.HIGH, exempt=True, not_before=now, status=Status.QUEUED, status_at=now,
        wa_id="3EB0" + secrets.token_hex(9).upper(),
    )  # fmt: skip
    MessageEvent.objects.create(message=message, at=now, status=message.status)
    transaction.on_commit(lambda: wakeups.wake([contact.session_id]), robust=True)
