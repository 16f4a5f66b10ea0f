"""The customers a session hears from. WhatsApp names them by phone number, by LID, or by both; two rows that turn out to be
one person become one.

Some numbers WhatsApp spells otherwise than they are dialled (Brazil, Mexico and wherever numbers have grown since an account
was made), and of some customers it tells no number at all. Whom we have written to we know all the same: by the address that
the message reached."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from typing import NamedTuple
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q

from sessions_app.models import Consent, Contact, InboundMessage
from sessions_app.services import lanes
from sessions_app.services.phones import same_subscriber

_ATTEMPTS = 3
_LEARNED = [
    "phone", "lid", "address", "name", "last_inbound_at", "last_outbound_at", "on_whatsapp", "checked_at", "opted_out_at",
    "refusals", "parked_until",
]  # fmt: skip


class Reached(NamedTuple):
    """A message to `phone` has reached `lid`."""

    restaurant: UUID
    session: UUID
    phone: str
    lid: str


@dataclass(frozen=True)
class Sighting:
    """A customer wrote at `at`; None: a message has reached them. Phone (E.164) and LID: whichever WhatsApp told, at least one of
    them."""

    restaurant_id: UUID
    session_id: UUID
    phone: str
    lid: str
    name: str
    at: datetime | None

    @property
    def addresses(self) -> list[str]:
        """Those that a message to this customer may have gone to."""
        return [self.lid] * bool(self.lid) + [f"{self.phone.removeprefix('+')}@s.whatsapp.net"] * bool(self.phone)


def note_inbound(sightings: Sequence[Sighting]) -> list[UUID]:
    """Make or update the contact of each sighting, inside the caller's transaction; their ids, in the same order."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with transaction.atomic():
                return _note(sightings)
        except IntegrityError:  # another writer made one of these contacts in between: now it can be seen
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def note_reached(reached: Sequence[Reached]) -> None:
    """Of customers who were known by these LIDs already, inside the caller's transaction, which holds them: what they wrote under
    it, a STOP above all, counts for the number from now on."""
    if reached:
        found = _meet([Sighting(one.restaurant, one.session, one.phone, one.lid, name="", at=None) for one in reached])
        lanes.warm(contacts=[contact for contact in found if lanes.has_written(contact)])


def _note(sightings: Sequence[Sighting]) -> list[UUID]:
    found = _meet(sightings)
    lanes.warm(contacts=list({contact.pk: contact for contact in found}.values()))
    return [contact.pk for contact in found]


def _meet(sightings: Sequence[Sighting]) -> list[Contact]:
    book = _Book(_known(sightings))
    met = [book.meet(sighting) for sighting in sightings]
    book.save()
    return [book.final(contact) for contact in met]


def _known(sightings: Sequence[Sighting]) -> list[Contact]:
    named = Q(phone__in={s.phone for s in sightings} - {""}) | Q(lid__in={s.lid for s in sightings} - {""})
    reached = Q(address__in={address for s in sightings for address in s.addresses})
    in_session = Contact.objects.filter(named | reached, session_id__in={s.session_id for s in sightings})
    return list(in_session.select_for_update().order_by("pk"))


@dataclass
class _Book:
    """The contacts at hand, found by either name, or by the address that a message to them reached."""

    known: list[Contact]
    _by: dict[tuple[UUID, str, str], Contact] = field(default_factory=dict)
    _changed: dict[UUID, Contact] = field(default_factory=dict)
    _was: dict[UUID, str] = field(default_factory=dict)  # the phone each known contact has in the database
    _new: dict[UUID, Contact] = field(default_factory=dict)
    _merged: dict[UUID, Contact] = field(default_factory=dict)  # id of the row that goes, the row that stays

    def __post_init__(self) -> None:
        for contact in self.known:
            self._was[contact.pk] = contact.phone
            self._index(contact)

    def meet(self, seen: Sighting) -> Contact:
        by_phone = self._by.get((seen.session_id, "phone", seen.phone)) if seen.phone else None
        by_lid = self._by.get((seen.session_id, "lid", seen.lid)) if seen.lid else None
        if by_phone and seen.lid and by_phone.lid not in ("", seen.lid):
            self._give_up_phone(by_phone)
            by_phone = None
        reached = self._reached(seen)
        dialled = reached.phone if reached else ""
        contact = self._one_of(by_phone, by_lid, reached) or self._make(seen)
        self._learn(contact, seen, phone=dialled if same_subscriber(dialled, seen.phone or dialled) else seen.phone)
        return contact

    def _reached(self, seen: Sighting) -> Contact | None:
        """Whom we have written to at one of these addresses, unless that is somebody else by now."""
        found = [self._by.get((seen.session_id, "address", address)) for address in seen.addresses]
        return next((one for one in found if one and (not seen.lid or one.lid in ("", seen.lid))), None)

    def _one_of(self, *found: Contact | None) -> Contact | None:
        """They are one person."""
        people = list(dict.fromkeys(contact for contact in found if contact))
        return reduce(self._merge, people) if people else None

    def final(self, contact: Contact) -> Contact:
        while contact.pk in self._merged:
            contact = self._merged[contact.pk]
        return contact

    def save(self) -> None:
        for gone in self._merged:
            InboundMessage.objects.filter(contact_id=gone).update(contact=self.final(self._merged[gone]))
            Consent.objects.filter(contact_id=gone).update(contact=self.final(self._merged[gone]))
        Contact.objects.filter(pk__in=list(self._merged)).delete()
        # A number may go from row to row within one batch: all let go of theirs before any takes a new one.
        for pk, contact in self._changed.items():
            if self._was[pk] not in ("", contact.phone):
                Contact.objects.filter(pk=pk).update(phone="", lid=contact.lid or pk.hex)  # one or the other it has to have
        for contact in self._changed.values():
            contact.save(update_fields=_LEARNED)
        # In the order in which owners make theirs: each may be about to make one that the other has just made.
        Contact.objects.bulk_create(sorted(self._new.values(), key=lambda one: (one.session_id, one.phone)))

    def _make(self, seen: Sighting) -> Contact:
        contact = Contact(restaurant_id=seen.restaurant_id, session_id=seen.session_id)
        self._new[contact.pk] = contact
        return contact

    def _give_up_phone(self, contact: Contact) -> None:
        """The LID is the person: a number seen with another LID has moved on to somebody else."""
        del self._by[contact.session_id, "phone", contact.phone]
        contact.phone = ""
        self._touch(contact)

    def _merge(self, one: Contact, other: Contact) -> Contact:
        keeper, gone = (other, one) if one.pk in self._new else (one, other)
        self._absorb(keeper, gone)
        return keeper

    def _absorb(self, keeper: Contact, gone: Contact) -> None:
        keeper.name, keeper.address = keeper.name or gone.name, keeper.address or gone.address
        keeper.last_inbound_at = _latest(keeper.last_inbound_at, gone.last_inbound_at)
        keeper.last_outbound_at = _latest(keeper.last_outbound_at, gone.last_outbound_at)
        keeper.opted_out_at = _latest(keeper.opted_out_at, gone.opted_out_at)
        keeper.refusals = max(keeper.refusals, gone.refusals)
        keeper.parked_until = _latest(keeper.parked_until, gone.parked_until)
        if keeper.on_whatsapp is None:
            keeper.on_whatsapp, keeper.checked_at = gone.on_whatsapp, gone.checked_at
        self._new.pop(gone.pk, None)
        self._changed.pop(gone.pk, None)
        self._forget(gone)
        self._merged[gone.pk] = keeper

    def _learn(self, contact: Contact, seen: Sighting, *, phone: str) -> None:
        self._forget(contact)
        contact.phone = phone or contact.phone
        contact.lid = seen.lid or contact.lid
        contact.name = seen.name or contact.name
        contact.last_inbound_at = _latest(contact.last_inbound_at, seen.at)
        contact.refusals, contact.parked_until = 0, None  # who writes may be answered
        contact.on_whatsapp = None if contact.on_whatsapp is None else True
        self._touch(contact)
        self._index(contact)

    def _touch(self, contact: Contact) -> None:
        if contact.pk not in self._new:
            self._changed[contact.pk] = contact

    def _index(self, contact: Contact) -> None:
        self._by.update(dict.fromkeys(_names(contact), contact))

    def _forget(self, contact: Contact) -> None:
        for key in _names(contact):
            self._by.pop(key, None)


def _names(contact: Contact) -> list[tuple[UUID, str, str]]:
    all_of_them = (("phone", contact.phone), ("lid", contact.lid), ("address", contact.address))
    return [(contact.session_id, kind, value) for kind, value in all_of_them if value]


def _latest(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((moment for moment in (one, other) if moment), default=None)
