"""The customers a session hears from. WhatsApp names them by phone number, by LID, or by both; two rows that turn out to be
one person become one.

Some numbers WhatsApp spells otherwise than they are dialled (Brazil, Mexico and wherever numbers have grown since an account
was made), and of some customers it tells no number at all. Whom we have written to we know all the same: by the address that
the message reached.

Some numbers are dialled in more than one way. Each spelling is a row, since messages are looked up by it: one of them is the
customer, with the LID and with what they wrote; the others have that LID as their address, and share what is known of the
customer. Where WhatsApp tells no LID, the number's own address ties them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q

from sessions_app.models import Consent, Contact, InboundMessage
from sessions_app.services import lanes
from sessions_app.services.phones import may_be_dialled, same_subscriber

_ATTEMPTS = 3
_LEARNED = [
    "phone", "lid", "address", "name", "last_inbound_at", "last_outbound_at", "on_whatsapp", "checked_at", "opted_out_at",
    "refusals", "parked_until",
]  # fmt: skip


class Reached(NamedTuple):
    """A message to `phone` has reached `address`."""

    restaurant: UUID
    session: UUID
    phone: str
    address: str

    @property
    def lid(self) -> str:
        return self.address if self.address.endswith("@lid") else ""


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
    """Of customers who were known at these addresses already, inside the caller's transaction, which holds them: what they wrote
    there, a STOP above all, counts for the number from now on."""
    if reached:
        met = _meet([Sighting(one.restaurant, one.session, one.phone, one.lid, name="", at=None) for one in reached])
        lanes.warm(contacts=[contact for contact in met.spellings if lanes.has_written(contact)])


def spellings(contact_id: UUID) -> list[Contact]:
    """That contact and all other spellings of the same customer's number, held until the caller's transaction ends; those of the
    customers whom it has noted, it holds already."""
    named = Q(pk=contact_id)
    session, lid, address = Contact.objects.values_list("session_id", "lid", "address").get(pk=contact_id)
    if account := lid or address:
        named |= Q(session_id=session, lid=account) | Q(session_id=session, lid="", address=account)
    held = Contact.objects.select_for_update(of=("self",)).select_related("restaurant", "session")
    return list(held.filter(named).order_by("pk"))


def _note(sightings: Sequence[Sighting]) -> list[UUID]:
    met = _meet(sightings)
    lanes.warm(contacts=met.spellings)
    return [contact.pk for contact in met.customers]


class _Met(NamedTuple):
    customers: list[Contact]  # of each sighting
    spellings: list[Contact]  # each row of these customers, once


def _meet(sightings: Sequence[Sighting]) -> _Met:
    book = _Book(_known(sightings))
    met = [book.meet(sighting) for sighting in sightings]
    book.save()
    customers = [book.final(contact) for contact in met]
    rows = {row.pk: row for contact in customers for row in (contact, *book.spellings(contact))}
    return _Met(customers, list(rows.values()))


# All rows of all customers at once and in the order of ids: whoever finds another spelling only when it holds the first may wait
# in a circle.
_KNOWN = """
    WITH seen AS (
        SELECT * FROM unnest(%(sessions)s::uuid[], %(phones)s::text[], %(lids)s::text[]) AS t(session, phone, lid)
    ), named AS MATERIALIZED (
        SELECT k.id, k.session_id, COALESCE(NULLIF(k.lid, ''), k.address) AS account
        FROM seen t JOIN contact k ON k.session_id = t.session AND k.phone = t.phone AND k.phone <> ''
        UNION ALL
        SELECT k.id, k.session_id, k.lid FROM seen t JOIN contact k ON k.session_id = t.session AND k.lid = t.lid AND k.lid <> ''
        UNION ALL
        SELECT k.id, k.session_id, COALESCE(NULLIF(k.lid, ''), k.address)
        FROM unnest(%(reached)s::uuid[], %(addresses)s::text[]) AS t(session, address)
        JOIN contact k ON k.session_id = t.session AND k.address = t.address AND k.address <> ''
    )
    SELECT k.* FROM contact k
    WHERE k.id IN (SELECT id FROM named
                   UNION ALL
                   SELECT c.id FROM named n JOIN contact c ON c.session_id = n.session_id AND c.lid = n.account AND c.lid <> ''
                   UNION ALL
                   SELECT o.id FROM named n
                   JOIN contact o ON o.session_id = n.session_id AND o.address = n.account AND o.address <> ''
                       AND o.lid = '')
    ORDER BY k.id FOR UPDATE OF k"""


def _known(sightings: Sequence[Sighting]) -> list[Contact]:
    reached = [(seen.session_id, address) for seen in sightings for address in seen.addresses]
    values = {
        "sessions": [seen.session_id for seen in sightings],
        "phones": [seen.phone for seen in sightings],
        "lids": [seen.lid for seen in sightings],
        "reached": [session for session, _ in reached],
        "addresses": [address for _, address in reached],
    }
    return list(Contact.objects.raw(_KNOWN, values))


@dataclass
class _Book:
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
