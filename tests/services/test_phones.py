import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.errors import InvalidPhone
from sessions_app.services.phones import E164, normalise


@pytest.mark.parametrize(
    ("written", "region", "e164"),
    [
        ("+4915112345678", "US", "+4915112345678"),
        ("0151/123 456-78", "DE", "+4915112345678"),
        ("0049 151 12345678", "DE", "+4915112345678"),
        (" +1 (415) 555-2671 ", "DE", "+14155552671"),
        ("\u202a+49151\u00a012345678\u202c", "DE", "+4915112345678"),  # as copied from a contact card
        ("٠١٥١١٢٣٤٥٦٧٨", "DE", "+4915112345678"),
        ("+551187654321", "DE", "+5511987654321"),  # as WhatsApp spells them
        ("+5215512345678", "DE", "+525512345678"),
        ("+551133334444", "DE", "+551133334444"),  # a landline has no more digits than that
    ],
)
def test_it_reads_numbers_as_people_write_them(written: str, region: str, e164: str) -> None:
    assert normalise(written, region) == e164


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "it is empty"),
        ("abc", "not written as one"),
        ("call 0151 12345678", "not written as one"),
        ("+49151123456\x0078", "not written as one"),
        ("0151 12345678 #5", "extension"),
        ("+999123456", "country code does not exist"),
        ("+1 415555", "too short"),
        ("+4915112345678901234", "too long"),
        ("+4918112345678901", "too long"),  # in use in its country
        ("110", "no such number"),
        ("1" * 41, "not written as one"),
    ],
)
def test_it_says_why_a_number_is_refused(written: str, reason: str) -> None:
    with pytest.raises(InvalidPhone, match=reason):
        normalise(written, "DE")


def test_a_refusal_does_not_repeat_the_number() -> None:
    with pytest.raises(InvalidPhone) as refused:
        normalise("+49 110 999", "DE")
    assert "110" not in str(refused.value)


@given(st.text(max_size=50))
def test_it_answers_e164_or_refuses_whatever_is_written(written: str) -> None:
    with contextlib.suppress(InvalidPhone):
        assert E164.fullmatch(normalise(written, "DE"))
