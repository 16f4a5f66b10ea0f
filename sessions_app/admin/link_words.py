"""What the link page can say: one view for each phase of linking."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256

from sessions_app.admin.words import Tone


class Phase(StrEnum):
    IDLE = "idle"
    NO_WORKER = "no_worker"
    WAITING = "waiting"
    QR = "qr"
    CODE = "code"
    CONNECTING = "connecting"
    LINKED = "linked"
    EXPIRED = "expired"
    LOGGED_OUT = "logged_out"
    BLOCKED = "blocked"
    PASSKEY = "passkey"
    STOPPED = "stopped"
    LEAVING = "leaving"


@dataclass(frozen=True)
class LinkView:
    phase: Phase
    tone: Tone
    title: str
    text: str
    qr: str = ""
    code: str = ""
    expires_at: datetime | None = None  # of the code on show
    can_start: bool = False
    can_stop: bool = False

    @property
    def version(self) -> str:
        """Changes when, and only when, the page would look different."""
        return sha256(repr(self).encode()).hexdigest()[:20]


IDLE = LinkView(
    Phase.IDLE,
    "calm",
    "Not linked yet",
    "Have the restaurant's phone at hand, then show the code. It works for about a minute.",
    can_start=True,
)
WAITING = LinkView(Phase.WAITING, "busy", "Getting a code…", "", can_stop=True)
QR = LinkView(
    Phase.QR,
    "busy",
    "Scan this code with the restaurant's phone",
    "When a code runs out, the next one appears by itself.",
    can_stop=True,
)
CODE = LinkView(
    Phase.CODE,
    "busy",
    "Enter this code on the restaurant's phone",
    "In WhatsApp: Linked devices, Link a device, Link with phone number instead.",
    can_stop=True,
)
NO_WORKER = LinkView(
    Phase.NO_WORKER,
    "warn",
    "No worker is running",
    "Codes are made by a session worker, and none is alive. Start one; this page goes on by itself.",
    can_stop=True,
)
EXPIRED = LinkView(
    Phase.EXPIRED,
    "warn",
    "No phone scanned the code in time",
    "Nothing is lost. Show a new code whenever the phone is at hand.",
    can_start=True,
)
LOGGED_OUT = LinkView(
    Phase.LOGGED_OUT,
    "bad",
    "Logged out on the phone",
    "The device was removed in WhatsApp. The queue is kept; link the number again to go on.",
    can_start=True,
)
BLOCKED = LinkView(
    Phase.BLOCKED,
    "bad",
    "WhatsApp refuses this number",
    "Trying again does not help now; WhatsApp's app on the phone says why.",
    can_start=True,
)
QUARANTINED = LinkView(
    Phase.BLOCKED,
    "bad",
    "Kept apart from the others",
    "This session made the bridge crash again and again.",
    can_start=True,
)
PASSKEY = LinkView(
    Phase.PASSKEY,
    "bad",
    "WhatsApp asks for a passkey",
    "WhatsApp wants this account to confirm with a passkey, which is not possible from here. A pairing code asks for it, too."
    " Do not delete or register the account again: that does not help.",
    can_start=True,
)
