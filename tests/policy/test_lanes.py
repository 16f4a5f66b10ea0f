"""A contact turns warm when it writes; the first message to a stranger opens a chat, the next ones do not."""

import pytest

from sessions_app.policy.lanes import Lane, lane_of


@pytest.mark.parametrize("written_to", [False, True])
def test_who_has_written_is_warm(written_to: bool) -> None:
    assert lane_of(wrote=True, written_to=written_to) is Lane.WARM


def test_a_strangers_first_message_opens_a_chat() -> None:
    assert lane_of(wrote=False, written_to=False) is Lane.NEW
    assert lane_of(wrote=False, written_to=True) is Lane.COLD
