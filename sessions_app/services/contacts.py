"""The customers a session hears from. WhatsApp names them by phone number, by LID, or by both; two rows that turn out to be
one person become one.

Some numbers WhatsApp spells otherwise than they are dialled (Brazil, Mexico and wherever numbers have grown since an account
was made), and of some customers it tells no number at all. Whom we have written to we know all the same: by the address that
the message reached.

Some numbers are dialled in more than one way. Each spelling is a row, since messages are looked up by it: one of them is the
customer, with the LID and with what they wrote; the others have that LID as their address, and share what is known of the
customer. Where WhatsApp tells no LID, the number's own address ties them."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q

from sessions_app.models import Contact
from sessions_app.services import lanes
from sessions_app.services.contact_book import Book, Sighting

_ATTEMPTS = 3


class Reached(NamedTuple):
    """A message to `phone` has reached `address`."""

    restaurant: UUID
    session: UUID
    phone: str
    address: str

    @property
    def lid(self) -> str:
        return self.address if self.address.endswith("@lid") else ""


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
    book = Book(_known(sightings))
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
