"""Send windows as people write them."""

import pytest

from sessions_app.admin.week import Windows, from_text, to_text

LUNCH, DINNER = ["10:00", "14:00"], ["17:00", "22:00"]


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("", None),
        (" \n\n", None),
        ("Mon 10:00–14:00, 17:00–22:00", {"mon": [LUNCH, DINNER]}),
        ("monday: 10-14,17.00 - 22.00", {"mon": [LUNCH, DINNER]}),
        ("TUE 9:30—10:00", {"tue": [["09:30", "10:00"]]}),
        ("Fri-Mon 17-22", {"mon": [DINNER], "fri": [DINNER], "sat": [DINNER], "sun": [DINNER]}),
        ("Sat 17:00-22:00\nMon 10:00-14:00\nSat 10:00-14:00", {"mon": [LUNCH], "sat": [DINNER, LUNCH]}),
        ("Sat 18:00–02:00", {"sat": [["18:00", "02:00"]]}),
        ("Sun 00:00–24:00", {"sun": [["00:00", "00:00"]]}),
        ("Sun 08:00:30–24", {"sun": [["08:00:30", "00:00"]]}),
    ],
)
def test_what_is_written_is_understood(text: str, stored: Windows | None) -> None:
    assert from_text(text) == stored


@pytest.mark.parametrize(
    "stored",
    [
        None,
        {"mon": [LUNCH, DINNER], "sun": [["00:00", "00:00"]]},
        {"wed": [["22:00", "02:00"]], "thu": [["08:00:30", "00:00"]]},
    ],
)
def test_what_is_shown_is_read_back_unchanged(stored: Windows | None) -> None:
    assert from_text(to_text(stored)) == stored


def test_days_are_shown_in_the_order_of_the_week() -> None:
    assert to_text({"sun": [LUNCH], "mon": [LUNCH, DINNER]}) == "Mon 10:00–14:00, 17:00–22:00\nSun 10:00–14:00"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Mon 10:00–14:00\nMontag 10–14", "Line 2, “Montag 10–14”: “Montag” is no weekday"),
        ("10:00–14:00", "Line 1, “10:00–14:00”: write a weekday and its hours"),
        ("Mon", "write a weekday and its hours"),
        ("\nMon 10:00", "Line 2, “Mon 10:00”: “10:00” is no interval"),
        ("Mon 10:00–14:00,", "“” is no interval"),
        ("Mon 10:00–25:00", "“25:00” is no time of day"),
        ("Mon 24:00–10:00", "“24:00” is no time of day"),
        ("Mon 10:60–11:00", "“10:60” is no time of day"),
        ("Mon 10:00–10:00", "begins and ends at the same time"),
        ("S 10:00–11:00", "“S” is no weekday"),
        ('{"mon": [["10:00", "22:00"]]}', "Line 1"),
    ],
)
def test_what_is_not_understood_names_its_line(text: str, says: str) -> None:
    with pytest.raises(ValueError) as refused:
        from_text(text)
    assert says in str(refused.value)
