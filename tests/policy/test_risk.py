"""The risk score: more of anything bad never lowers it, and it says why in words."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.risk import Facts, Risk, risk
from sessions_app.policy.signals import CapStatus

counts = st.integers(0, 300)
facts_of = st.builds(
    Facts,
    age_days=st.integers(0, 400), good_days=st.integers(0, 400), sent=counts, cold=counts, identical=counts, opted_out=counts,
    written_to=counts, answered=counts, looked_up=counts, not_on_whatsapp=counts, refused=st.integers(0, 9),
    time_locks=st.integers(0, 9), bans=st.integers(0, 9), cap=st.sampled_from(CapStatus), locked_now=st.booleans(),
    banned_now=st.booleans(),
)  # fmt: skip
BAD = ["cold", "identical", "opted_out", "not_on_whatsapp", "refused", "time_locks", "bans"]
GOOD = ["age_days", "good_days", "answered"]
CALM = Facts(age_days=400, good_days=300, sent=900, cold=30, written_to=400, answered=300, looked_up=30)


@pytest.mark.parametrize("name", BAD)
@given(facts=facts_of, more=st.integers(1, 50))
def test_more_of_what_is_bad_never_lowers_it(name: str, facts: Facts, more: int) -> None:
    assert risk(replace(facts, **{name: getattr(facts, name) + more})).score >= risk(facts).score


@pytest.mark.parametrize("name", GOOD)
@given(facts=facts_of, more=st.integers(1, 50))
def test_more_of_what_is_good_never_raises_it(name: str, facts: Facts, more: int) -> None:
    assert risk(replace(facts, **{name: getattr(facts, name) + more})).score <= risk(facts).score


@given(facts=facts_of)
def test_a_restriction_now_never_lowers_it_and_caps_are_in_order(facts: Facts) -> None:
    assert risk(replace(facts, locked_now=True)).score >= risk(replace(facts, locked_now=False)).score
    assert risk(replace(facts, banned_now=True)).score >= risk(replace(facts, banned_now=False)).score
    scores = [risk(replace(facts, cap=cap)).score for cap in CapStatus]
    assert scores == sorted(scores)


@given(facts=facts_of)
def test_it_is_the_sum_of_its_reasons_the_heaviest_first(facts: Facts) -> None:
    got = risk(facts)
    points = [reason.points for reason in got.reasons]
    assert 0 <= got.score <= 100
    assert got.score == min(100, sum(points))
    assert points == sorted(points, reverse=True) and 0 not in points
    assert all(reason.text.endswith((".", "?")) for reason in got.reasons)
    assert got == risk(facts)


def told(got: Risk) -> list[str]:
    return [reason.code for reason in got.reasons]


def test_an_old_number_that_writes_to_regulars_is_calm() -> None:
    assert (risk(CALM).score, risk(CALM).level) == (0, "low")


def test_a_new_number_that_has_done_nothing_is_not_alarming() -> None:
    new = risk(Facts(age_days=0, good_days=0))
    assert (new.level, told(new)) == ("raised", ["young", "warming_up"])


def test_a_list_of_strangers_is_seen() -> None:
    asked = Facts(age_days=3, good_days=3, looked_up=250, not_on_whatsapp=60)
    got = risk(replace(asked, sent=200, cold=190, identical=150, written_to=190, answered=5))
    assert got.level == "critical"
    assert "60 of 250 numbers it tried are not on WhatsApp" in " ".join(reason.text for reason in got.reasons)


def test_a_ban_is_the_first_thing_said() -> None:
    got = risk(replace(CALM, banned_now=True, bans=1))
    assert (got.level, told(got)) == ("critical", ["banned_now", "bans"])


def test_one_bad_number_of_one_is_no_drama() -> None:
    assert risk(replace(CALM, looked_up=1, not_on_whatsapp=1)).score <= 10
