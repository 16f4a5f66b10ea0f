"""A masked number tells its country and network, not whose it is."""

import pytest

from sessions_app.policy.masking import mask_phone


@pytest.mark.parametrize(
    ("phone", "masked"),
    [
        ("+4915112345678", "+49151*****78"),
        ("+491511234567890", "+49151*****90"),
        ("4915112345678", "49151*****78"),
        ("+1234567", "*****"),
        ("+123", "*****"),
        ("", "*****"),
    ],
)
def test_the_middle_is_hidden_and_so_is_how_long_it_is(phone: str, masked: str) -> None:
    assert mask_phone(phone) == masked
