"""Phone numbers: read as people write them, kept as E.164, shown masked."""

import re
import unicodedata

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat

from sessions_app.errors import InvalidPhone

MAX_INPUT_CHARACTERS = 40
E164 = re.compile(r"\+[1-9][0-9]{6,14}")

_REASONS = {
    NumberParseException.INVALID_COUNTRY_CODE: "its country code does not exist",
    NumberParseException.TOO_SHORT_AFTER_IDD: "it is too short",
    NumberParseException.TOO_SHORT_NSN: "it is too short",
    NumberParseException.TOO_LONG: "it is too long",
}
_LENGTHS = {
    phonenumbers.ValidationResult.TOO_SHORT: "it is too short",
    phonenumbers.ValidationResult.TOO_LONG: "it is too long",
    phonenumbers.ValidationResult.INVALID_COUNTRY_CODE: "its country code does not exist",
}


def normalise(text: str, region: str) -> str:
    """E.164 of a number as written; `region` (ISO 3166) is assumed for one without +country code.

    Raises InvalidPhone with the reason in words. The number itself is not in the message: it may end up in a log.
    """
    written = text.strip()
    if not written or len(written) > MAX_INPUT_CHARACTERS or not all(map(_is_dialled, written)):
        raise _invalid("it is not written as one" if written else "it is empty", region)
    number = _parse(written, region)
    if number.extension:
        raise _invalid("it has an extension, which WhatsApp does not know", region)
    dialled = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    if (usual := canonical(dialled)) != dialled:
        number = _parse(usual, region)
    if not phonenumbers.is_valid_number(number):
        length = phonenumbers.is_possible_number_with_reason(number)
        raise _invalid(_LENGTHS.get(length, "no such number is in use in its country"), region)
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    if not E164.fullmatch(e164):  # some plans have numbers of more digits than E.164 knows
        raise _invalid("it is too long", region)
    return e164


# As WhatsApp spells mobile numbers of accounts that are older than the digit which others have today, and as it always did.
_OTHER_SPELLINGS = (
    (re.compile(r"\+521(\d{10})"), r"+52\1"),
    (re.compile(r"\+55(\d{2})([6-9]\d{7})"), r"+55\g<1>9\2"),
)


def canonical(phone: str) -> str:
    """The spelling by which a number (E.164) is dialled today, where WhatsApp has another of its own; any other as it is."""
    for spelling, dialled in _OTHER_SPELLINGS:
        if match := spelling.fullmatch(phone):
            return match.expand(dialled)
    return phone


def same_subscriber(one: str, other: str) -> bool:
    """Whether these (E.164) may be spellings of one number: plans grow by a digit or two before the subscriber's own."""
    return bool(one) and one[:3] == other[:3] and one[-7:] == other[-7:]


def may_be_dialled(phone: str) -> bool:
    """Whether `normalise` answers this (E.164): some spellings of WhatsApp's are no numbers that are in use."""
    try:
        return normalise(phone, "ZZ") == phone
    except InvalidPhone:
        return False


def _is_dialled(character: str) -> bool:
    """Digits of any script, signs and spaces: letters and control characters would be skipped over in silence."""
    return not character.isalpha() and unicodedata.category(character) not in ("Cc", "Cs", "Co", "Cn")


def _parse(written: str, region: str) -> PhoneNumber:
    try:
        return phonenumbers.parse(written, region)
    except NumberParseException as error:
        raise _invalid(_REASONS.get(error.error_type, "it is not written as one"), region) from error


def _invalid(reason: str, region: str) -> InvalidPhone:
    return InvalidPhone(f"This is not a valid phone number: {reason}. Write it as +4915112345678, or as dialled in {region}.")
