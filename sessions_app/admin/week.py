"""Send windows as people write them, one line a weekday ("Mon 10:00–14:00, 17:00–22:00"), and as they are stored. Pure."""

import re
from collections.abc import Iterator
from typing import Any

from sessions_app.models.restaurants import WEEKDAYS

Windows = dict[str, list[list[str]]]  # weekday → [["10:00", "22:00"], …], as the column holds it

EXAMPLE = "Mon–Fri 10:00–14:00, 17:00–22:00"
_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DASH = r"\s*[-–—]\s*"
_LINE = re.compile(rf"([a-z]+)\.?(?:{_DASH}([a-z]+)\.?)?\s*:?\s+(\S.*)", re.IGNORECASE)
_TIME = r"(\d{1,2}(?:[:.]\d{2}){0,2})"
_INTERVAL = re.compile(rf"{_TIME}{_DASH}{_TIME}")


def to_text(windows: Windows | None) -> str:
    """Empty for None: at any time."""
    days = [(day, windows[day]) for day in WEEKDAYS if windows and windows.get(day)]
    return "\n".join(f"{day.capitalize()} {', '.join(_shown(*pair) for pair in pairs)}" for day, pairs in days)


def from_text(text: str) -> Windows | None:
    """None for no line at all. Raises ValueError, which names the line; a weekday of several lines has the intervals of all."""
    windows: Windows = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                days, intervals = _read(line.strip())
            except ValueError as error:
                raise ValueError(f"Line {number}, “{line.strip()}”: {error}") from error
            for day in days:
                windows.setdefault(day, []).extend(intervals)
    return {day: windows[day] for day in WEEKDAYS if day in windows} or None


def _shown(start: str, end: str) -> str:
    return f"{start}–{'24:00' if end == '00:00' else end}"


def _read(line: str) -> tuple[list[str], list[list[str]]]:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError(f"write a weekday and its hours, as in “{EXAMPLE}”.")
    first, last, hours = found.groups()
    days = list(_days(_weekday(first), _weekday(last or first)))
    return days, [_interval(part.strip()) for part in hours.split(",")]


def _days(first: int, last: int) -> Iterator[str]:
    """Over Sunday when the last comes before the first."""
    for step in range((last - first) % 7 + 1):
        yield WEEKDAYS[(first + step) % 7]


def _weekday(word: str) -> int:
    wanted = word.lower()
    for number, name in enumerate(_NAMES):
        if len(wanted) >= 2 and name.startswith(wanted):
            return number
    raise ValueError(f"“{word}” is no weekday; write Mon, Tue, Wed, Thu, Fri, Sat or Sun.")


def _interval(part: str) -> list[str]:
    found = _INTERVAL.fullmatch(part)
    if found is None:
        raise ValueError(f"“{part}” is no interval; write one as 10:00–14:00, and a comma between two.")
    start, end = _time(found[1]), _time(found[2], last=True)
    if start == end and found[2] not in ("24:00", "24"):
        raise ValueError(f"“{part}” begins and ends at the same time; the whole day is 00:00–24:00.")
    return [start, end]


def _time(word: str, *, last: bool = False) -> str:
    """ "9.30" as "09:30"; an interval may end at 24:00, which is stored as the midnight that it is."""
    hour, minute, second = ([int(digits) for digits in re.split("[:.]", word)] + [0, 0])[:3]
    if last and (hour, minute, second) == (24, 0, 0):
        hour = 0
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(f"“{word}” is no time of day.")
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")


def same(one: Any, other: Any) -> bool:
    """Whether two stored values mean the same, whatever the order of their days."""
    return to_text(one) == to_text(other)
