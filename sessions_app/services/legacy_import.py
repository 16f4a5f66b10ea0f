"""Takes the restaurants of an old installation, and their numbers as sessions that wait to be linked.

A restaurant remembers where it came from (`legacy_id`), so that a second run changes nothing: what was taken belongs to this
installation from then on. The old service's WhatsApp credentials are not taken; they are made for another client.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import phonenumbers
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models.functions import Now

from sessions_app.errors import DomainError, InvalidPhone
from sessions_app.models import Restaurant, Session, SessionEvent
from sessions_app.models.restaurants import validate_time_zone
from sessions_app.policy.text import is_storable
from sessions_app.services import phones, sessions
from sessions_app.services.legacy_source import LegacyRow

MAX_NAME_CHARACTERS = 120
MAX_ID_CHARACTERS = 80
ACTOR = "import"
LOCK = 0x494D504F

_YES_NO = {"true": True, "t": True, "1": True, "yes": True, "false": False, "f": False, "0": False, "no": False}


class InvalidRow(DomainError):
    """This row cannot be taken."""

    code = "invalid_row"


@dataclass
class Outcome:
    restaurants: int = 0
    sessions: int = 0
    unchanged: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)  # the old id, and why


@dataclass(frozen=True)
class _Wanted:
    legacy_id: str
    name: str
    phone: str  # E.164; empty: none is known
    region: str
    time_zone: str
    is_active: bool


def take(*, rows: Sequence[LegacyRow], source: str, region: str = "", dry_run: bool = False) -> Outcome:
    """All rows in one transaction, which a dry run rolls back. What is wrong with a row is told, and the row skipped.

    `region` (ISO 3166): numbers are written as dialled there; without it they begin with their country code, + or not.
    """
    outcome, seen = Outcome(), set[str]()
    with transaction.atomic():
        _one_at_a_time()
        for row in rows:
            try:
                _take(_checked(row, source, region, seen), outcome)
            except DomainError as error:
                outcome.skipped.append((row.id or "without an id", str(error)))
        transaction.set_rollback(dry_run)
    return outcome


def _take(wanted: _Wanted, outcome: Outcome) -> None:
    restaurant, is_new = Restaurant.objects.get_or_create(
        legacy_id=wanted.legacy_id,
        defaults={
            "name": wanted.name,
            "default_region": wanted.region,
            "time_zone": wanted.time_zone,
            "is_active": wanted.is_active,
        },
    )
    # A number that was filled in after the first run is taken by the next one, a session deleted here is not taken again.
    lacks_session = bool(wanted.phone) and not Session.objects.filter(restaurant=restaurant).exists()
    if lacks_session:
        _add_session(restaurant, wanted.phone)
    outcome.restaurants += is_new
    outcome.sessions += lacks_session
    outcome.unchanged += not is_new and not lacks_session


def _add_session(restaurant: Restaurant, phone: str) -> None:
    name = restaurant.name[: sessions.MAX_NAME_CHARACTERS]
    session = sessions.create(restaurant=restaurant, name=name, actor=ACTOR)
    # In full: whoever links it has to know which phone to take.
    SessionEvent.objects.create(session=session, at=Now(), kind="imported", detail={"phone": phone, "next": "link it by QR code"})


def _checked(row: LegacyRow, source: str, region: str, seen: set[str]) -> _Wanted:
    """Raises InvalidRow, with what is wrong in words."""
    key = _id(row.id)
    if key in seen:
        raise InvalidRow("its id has come before")
    seen.add(key)
    name = _name(row.name)
    phone = _phone((row.number or "").strip(), region)
    return _Wanted(
        legacy_id=f"{source}:{key}",
        name=name,
        phone=phone,
        region=region or _region_of(phone),
        time_zone=_zone((row.zone or "").strip()),
        is_active=_active(row.active),
    )


def _id(text: str | None) -> str:
    if not text or len(text) > MAX_ID_CHARACTERS:
        raise InvalidRow(f"its id is longer than {MAX_ID_CHARACTERS} characters" if text else "it has no id")
    return text


def _name(text: str | None) -> str:
    name = (text or "").strip()
    if not name or len(name) > MAX_NAME_CHARACTERS or not is_storable(name):
        raise InvalidRow(f"its name has to have 1 to {MAX_NAME_CHARACTERS} characters")
    return name


def _phone(written: str, region: str) -> str:
    if not written:
        return ""
    if not region and not written.startswith("+"):
        written = "+" + written.removeprefix("00")
    try:
        return phones.normalise(written, region or "ZZ")
    except InvalidPhone as error:
        raise InvalidRow(str(error).partition(" Write it")[0]) from error  # how to write it is for those who type it


def _region_of(phone: str) -> str:
    """Of a country; numbers of none (+800, +870, …) get the default."""
    code = phonenumbers.region_code_for_number(phonenumbers.parse(phone)) if phone else None
    default: str = Restaurant._meta.get_field("default_region").get_default()
    return code if code in phonenumbers.SUPPORTED_REGIONS else default


def _zone(name: str) -> str:
    try:
        validate_time_zone(name or "UTC")
    except ValidationError as error:
        raise InvalidRow(error.messages[0]) from error
    return name or "UTC"


def _active(text: str | None) -> bool:
    """Raises InvalidRow rather than switch a restaurant on or off by a guess; an empty value is yes."""
    try:
        return _YES_NO[text.strip().lower()] if text else True
    except KeyError:
        raise InvalidRow("its is_active is neither true nor false") from None


def _one_at_a_time() -> None:
    """Two runs at once would both find a restaurant missing; the second waits for the first."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
