"""The rows of customers at hand, and what becomes of them when one is seen: combined, moved, made. `contacts` holds them."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sessions_app.models import Consent, Contact, InboundMessage
from sessions_app.services.phones import may_be_dialled, same_subscriber

_LEARNED = [
    "phone", "lid", "address", "name", "last_inbound_at", "last_outbound_at", "on_whatsapp", "checked_at", "opted_out_at",
    "refusals", "parked_until",
]  # fmt: skip


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


@dataclass
class Book:
    """The contacts at hand, found by either name, or by the address that a message to them reached."""

    known: list[Contact]
    _by: dict[tuple[UUID, str, str], Contact] = field(default_factory=dict)
    _at: dict[tuple[UUID, str], dict[UUID, Contact]] = field(default_factory=lambda: defaultdict(dict))  # by address
    _changed: dict[UUID, Contact] = field(default_factory=dict)
    _was: dict[UUID, str] = field(default_factory=dict)  # the phone each known contact has in the database
    _new: dict[UUID, Contact] = field(default_factory=dict)
    _merged: dict[UUID, Contact] = field(default_factory=dict)  # id of the row that goes, the row that stays

    def __post_init__(self) -> None:
        for contact in self.known:
            self._was[contact.pk] = contact.phone
            self._index(contact)

    def meet(self, seen: Sighting) -> Contact:
        self._move_number(seen)
        contact, *others = self._people(seen) or [self._make(seen)]
        phone = _phone_of(seen, [one.phone for one in (contact, *others)])
        for other in others:
            self._combine(contact, other)
            if other.phone == phone or not _is_spelling(other.phone, seen):
                self._drop(other, contact)
        self._learn(contact, seen, phone=phone)
        kept = [other for other in others if other.pk not in self._merged]
        if seen.phone not in (phone, *(other.phone for other in kept)) and may_be_dialled(seen.phone):
            kept.append(self._make(seen, phone=seen.phone))
        for other in kept:
            self._share(contact, other)
        return contact

    def spellings(self, contact: Contact) -> list[Contact]:
        """The other rows of this customer."""
        there = self._at.get((contact.session_id, contact.lid or contact.address), {}).values()
        return [one for one in there if not one.lid and one is not contact]

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

    def _move_number(self, seen: Sighting) -> None:
        """The LID is the person: a number seen with another LID has moved on to somebody else, however it is spelled."""
        named = self._find(seen.session_id, "phone", seen.phone)
        before = self._customer(named) if named else None
        if before and seen.lid and before.lid not in ("", seen.lid):
            for other in self.spellings(before):
                if same_subscriber(other.phone, seen.phone):
                    self._drop(other, before)
            if same_subscriber(before.phone, seen.phone):
                self._forget(before)
                before.phone = ""
                self._touch(before)
                self._index(before)

    def _people(self, seen: Sighting) -> list[Contact]:
        """All rows of this customer, first the one that stays whatever is told: with the LID, and in the database already."""
        named = [self._find(seen.session_id, "lid", seen.lid), self._find(seen.session_id, "phone", seen.phone)]
        reached = [one for address in seen.addresses for one in self._at.get((seen.session_id, address), {}).values()]
        customers = [self._customer(one) for one in (*named, *reached) if one]
        lid = seen.lid or next((one.lid for one in customers if one.lid), "")
        rows = [row for one in customers if one.lid in ("", lid) for row in (one, *self.spellings(one))]
        return sorted(dict.fromkeys(rows), key=lambda one: (one.pk in self._new, not one.lid))

    def _customer(self, row: Contact) -> Contact:
        """The row that this one is another spelling of; itself, if it is none."""
        return row if row.lid else self._find(row.session_id, "lid", row.address) or row

    def _find(self, session: UUID, kind: str, value: str) -> Contact | None:
        return self._by.get((session, kind, value)) if value else None

    def _make(self, seen: Sighting, phone: str = "") -> Contact:
        contact = Contact(restaurant_id=seen.restaurant_id, session_id=seen.session_id, phone=phone)
        self._new[contact.pk] = contact
        return contact

    def _combine(self, contact: Contact, other: Contact) -> None:
        """What is known of either is known of the customer."""
        self._forget(contact)
        contact.lid, contact.address = contact.lid or other.lid, contact.address or other.address
        contact.name = contact.name or other.name
        contact.last_inbound_at = _latest(contact.last_inbound_at, other.last_inbound_at)
        contact.last_outbound_at = _latest(contact.last_outbound_at, other.last_outbound_at)
        contact.opted_out_at = _latest(contact.opted_out_at, other.opted_out_at)
        if contact.on_whatsapp is None:
            contact.on_whatsapp, contact.checked_at = other.on_whatsapp, other.checked_at

    def _drop(self, gone: Contact, keeper: Contact) -> None:
        self._new.pop(gone.pk, None)
        self._changed.pop(gone.pk, None)
        self._forget(gone)
        self._merged[gone.pk] = keeper

    def _learn(self, contact: Contact, seen: Sighting, *, phone: str) -> None:
        self._forget(contact)
        contact.phone = phone
        contact.lid = seen.lid or contact.lid
        contact.name = seen.name or contact.name
        contact.last_inbound_at = _latest(contact.last_inbound_at, seen.at)
        contact.refusals, contact.parked_until = 0, None  # who writes may be answered
        contact.on_whatsapp = None if contact.on_whatsapp is None else True
        self._touch(contact)
        self._index(contact)

    def _share(self, contact: Contact, other: Contact) -> None:
        """What decides whether, when and in which lane a message goes is the same however its number is spelled."""
        before = _learned(other)
        self._forget(other)
        other.lid, other.address, other.name = "", contact.lid or contact.address, contact.name
        other.last_inbound_at, other.last_outbound_at = contact.last_inbound_at, contact.last_outbound_at
        other.opted_out_at, other.refusals, other.parked_until = contact.opted_out_at, 0, None
        other.on_whatsapp = None if other.on_whatsapp is None else True
        self._index(other)
        if _learned(other) != before:
            self._touch(other)

    def _touch(self, contact: Contact) -> None:
        if contact.pk not in self._new:
            self._changed[contact.pk] = contact

    def _index(self, contact: Contact) -> None:
        self._by.update(dict.fromkeys(_names(contact), contact))
        if contact.address:
            self._at[contact.session_id, contact.address][contact.pk] = contact

    def _forget(self, contact: Contact) -> None:
        for key in _names(contact):
            if self._by.get(key) is contact:
                del self._by[key]
        self._at.get((contact.session_id, contact.address), {}).pop(contact.pk, None)


def _is_spelling(phone: str, seen: Sighting) -> bool:
    """Whether this is another spelling of the customer's number, and no number that they had before."""
    return may_be_dialled(phone) and (not seen.phone or same_subscriber(phone, seen.phone))


def _phone_of(seen: Sighting, known: list[str]) -> str:
    """As it is dialled, if anybody knows, rather than as WhatsApp spells it; another number than WhatsApp tells is none."""
    theirs = [phone for phone in known if phone and same_subscriber(phone, seen.phone or phone)] + [seen.phone] * bool(seen.phone)
    several = len(set(theirs)) > 1
    return next((phone for phone in theirs if not several or may_be_dialled(phone)), theirs[-1] if theirs else "")


def _learned(contact: Contact) -> list[object]:
    return [getattr(contact, name) for name in _LEARNED]


def _names(contact: Contact) -> list[tuple[UUID, str, str]]:
    return [(contact.session_id, kind, value) for kind, value in (("phone", contact.phone), ("lid", contact.lid)) if value]


def _latest(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((moment for moment in (one, other) if moment), default=None)
