"""STOP and START: whether a customer's whole message is one of the words, in one of the restaurant's languages.

"STOP!" and "Stop, please" are one, "please stop by at 8" is not. Words that people in a restaurant's chat mean otherwise are left
out on purpose: cancel and its translations are about an order or a table, yes and no answer a question.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from sessions_app.policy.optout_words import EVERYWHERE, POLITE, WORDS

LONGEST = 60  # characters; no word comes near it

_APART = str.maketrans({"ı": "i", "ł": "l", "đ": "d", "ø": "o", "æ": "ae", "œ": "oe", "ـ": None})
_NO_LETTER = re.compile(r"[\W_]+")

LANGUAGES = tuple(WORDS)


def opt_word(
    text: str, *, languages: Iterable[str], stop: Iterable[str] = (), start: Iterable[str] = ()
) -> Literal["stop", "start"] | None:
    """`languages`: codes such as "de" or "pt-BR"; STOP and START itself are understood in all of them. `stop`, `start`: the
    restaurant's own words. A word that means both means stop."""
    if len(text) > LONGEST:
        return None
    stops, starts = _vocabulary(tuple(languages), tuple(stop), tuple(start))
    said = _said(normalized(text))
    if said & stops:
        return "stop"
    return "start" if said & starts else None


def normalized(text: str) -> str:
    """Small letters and digits without accents, one space between words, nothing else."""
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold()).translate(_APART)
    bare = "".join(c for c in letters if unicodedata.category(c) not in ("Mn", "Cf"))
    return _NO_LETTER.sub(" ", bare).strip()


def _said(words: str) -> set[str]:
    """As it stands, and without the politeness before or after it."""
    after = _POLITE_AFTER.sub("", words)
    return {words, after, _POLITE_BEFORE.sub("", words), _POLITE_BEFORE.sub("", after)}


@lru_cache(maxsize=1_024)
def _vocabulary(
    languages: tuple[str, ...], stop: tuple[str, ...], start: tuple[str, ...]
) -> tuple[frozenset[str], frozenset[str]]:
    chosen = [EVERYWHERE, *(WORDS[code] for one in languages if (code := one.lower().partition("-")[0]) in WORDS)]
    stops = [word for words, _ in chosen for word in words]
    starts = [word for _, words in chosen for word in words]
    return _bare([*stops, *stop]), _bare([*starts, *start])


def _bare(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word for word in map(normalized, words) if word)


_POLITENESS = "|".join(sorted(_bare(POLITE)))
_POLITE_BEFORE, _POLITE_AFTER = re.compile(rf"^(?:{_POLITENESS}) "), re.compile(rf" (?:{_POLITENESS})$")
