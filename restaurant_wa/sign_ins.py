"""Who is signed in to the admin: Django's own sessions, found by no key but those it makes."""

import re

from django.contrib.sessions.backends import db

_KEY = re.compile("[a-z0-9]{8,40}")


class SessionStore(db.SessionStore):
    """Keeps its name: what is stored is signed with it."""

    def _validate_session_key(self, key: str | None) -> bool:
        # A cookie can spell NUL (`"\000"`), with which PostgreSQL takes no question.
        return key is not None and _KEY.fullmatch(key) is not None
