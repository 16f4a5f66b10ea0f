"""What must not leave in a log line or an error report: secrets, and whole phone numbers."""

import re
from collections.abc import Mapping
from typing import Any

from sessions_app.policy.masking import mask_phone

HIDDEN = "[hidden]"
MAX_DEPTH = 8

_SECRET_NAME = re.compile(
    r"secret|password|passwd|token|authorization|api[-_]?key|cookie|credential|encryption_keys|dsn|^qr$|pairing_code|csrf|session_?key",
    re.IGNORECASE,
)
_BODY_NAME = frozenset({"body", "text", "content"})  # what restaurants and customers write to each other
_API_KEY = re.compile(r"\b(rwa_[a-z0-9]{8})_[A-Za-z0-9_-]{43}")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s/@]+@")
# A run of digits that is not part of a UUID or another identifier; and everything written with a plus sign.
_PHONE = re.compile(r"\+[0-9]{7,15}|(?<![0-9A-Za-z_.-])[0-9]{9,15}(?![0-9A-Za-z_.-])")


def scrub_text(text: str) -> str:
    text = _API_KEY.sub(rf"\1_{HIDDEN}", text)
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    text = _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", text)
    return _PHONE.sub(lambda match: mask_phone(match[0]), text)


def scrub(value: Any, *, depth: int = 0) -> Any:
    """A copy of plain data with secrets hidden by their name and phone numbers masked wherever they stand."""
    if isinstance(value, str):
        return scrub_text(value)
    if depth > MAX_DEPTH:
        return HIDDEN
    if isinstance(value, Mapping):
        return {name: _scrub_named(str(name), item, depth) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [scrub(item, depth=depth + 1) for item in value]
    return value


def _scrub_named(name: str, value: Any, depth: int) -> Any:
    if value and (_SECRET_NAME.search(name) or name.lower() in _BODY_NAME):
        return HIDDEN
    return scrub(value, depth=depth + 1)
