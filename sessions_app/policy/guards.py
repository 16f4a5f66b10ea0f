"""The guard against one text to many strangers, which WhatsApp takes for spam.

Who claims decides in the database, over all that a session has sent in the hour (`services.claims`). This is the rule in words of
its own: a test holds the claims against it.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from sessions_app.policy.reasons import Held, Reason

IDENTICAL_WITHIN = timedelta(hours=1)
_SPACES = re.compile(r"\s+")


def text_key(text: str) -> str:
    """Equal for texts that differ in case and spaces alone."""
    return _SPACES.sub(" ", text.strip()).lower()


def identical_text_hold(sent_at: Sequence[datetime], *, limit: int) -> Held | None:
    """`sent_at`: when this text went to other strangers; to one who got it twice it counts twice. The hold ends when fewer than
    `limit` of them lie within the hour."""
    if len(sent_at) < limit:
        return None
    return Held(Reason.IDENTICAL_TEXT, sorted(sent_at)[-limit] + IDENTICAL_WITHIN)
