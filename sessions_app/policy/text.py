"""Text that PostgreSQL can hold: every character but NUL, and no half of a surrogate pair (JSON can carry both)."""

import re

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
REPLACEMENT = "\ufffd"


def is_storable(text: str) -> bool:
    return _UNSTORABLE.search(text) is None


def storable(text: str) -> str:
    """The text with U+FFFD for each character that cannot be held."""
    return _UNSTORABLE.sub(REPLACEMENT, text)
