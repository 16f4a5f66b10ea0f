"""QR codes as PNG files in the storage `qr`, for programs that show them by themselves.

The rows are the truth: `refresh` compares the files there are with the codes that are shown, writes what is missing and
removes the rest. So it needs no memory, and whichever way a code ended (a newer one, scanned, expired, stopped, deleted),
its file goes.
"""

import hashlib
import re

from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages

from sessions_app.models import Session
from sessions_app.services import qr_codes

# Our own files only: the storage may hold others'. A second writer at the same moment makes `…_Xy12345.png`.
_OURS = re.compile(r"[0-9a-f-]{36}-[0-9a-f]{20}(_\w+)?\.png")


def refresh() -> tuple[int, int]:
    """How many files were written and removed. Raises what the storage raises, OSError for the file system."""
    storage = storages["qr"]
    codes = {name_of(session): session.qr for session in _showing()}
    present = _present(storage)
    stale, missing = present - codes.keys(), codes.keys() - present
    for name in stale:
        storage.delete(name)
    for name in missing:
        storage.save(name, ContentFile(qr_codes.png(codes[name])))
    return len(missing), len(stale)


def name_of(session: Session) -> str:
    """Found by the session's id; the rest follows from the code, so that a new code is a new file and nobody guesses it."""
    return f"{session.pk}-{hashlib.sha256(session.qr.encode()).hexdigest()[:20]}.png"


def _showing() -> list[Session]:
    found = Session.objects.filter(deleted_at=None).exclude(qr="").only("id", "qr", "qr_generated_at", "qr_expires_at").order_by()
    return [session for session in found if qr_codes.is_shown(session)]


def _present(storage: Storage) -> set[str]:
    try:
        _, names = storage.listdir("")
    except FileNotFoundError:  # no code has been shown yet
        return set()
    return {name for name in names if _OURS.fullmatch(name)}
