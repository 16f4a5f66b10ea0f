"""Opaque cursors of keyset pages: where the last page ended, so that a page costs the same however deep it lies."""

import base64
import binascii
from uuid import UUID

from sessions_app.api.problems import ProblemError, invalid

MAX_SEQ = 2**63 - 1


def of_seq(seq: int) -> str:
    return _encode(f"s{seq}")


def of_id(pk: UUID) -> str:
    return _encode(f"i{pk.hex}")


def seq(cursor: str) -> int:
    """Raises ProblemError 422."""
    text = _decode(cursor, "s")
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= MAX_SEQ):
        raise _invalid()
    return int(text)


def id(cursor: str) -> UUID:
    """Raises ProblemError 422."""
    try:
        return UUID(hex=_decode(cursor, "i"))
    except ValueError as error:
        raise _invalid() from error


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(cursor: str, kind: str) -> str:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise _invalid() from error
    if not text.startswith(kind):
        raise _invalid()
    return text[1:]


def _invalid() -> ProblemError:
    return invalid("query", "cursor", "invalid_cursor", "Use next_cursor of the page before, unchanged.")
