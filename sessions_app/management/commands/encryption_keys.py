"""`manage.py encryption_keys`: how much lies under which key, so that an operator knows when an old one may go."""

from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction

from sessions_app.models import Session
from sessions_app.services.sql import fetch

NAMED = 10

# The form of a sealed value: `sessions_app.models.keys`.
SEALED = """
WITH sealed AS (
  SELECT session_id, data FROM bridge_creds WHERE data IS NOT NULL
  UNION ALL SELECT session_id, data FROM bridge_key
  UNION ALL SELECT session_id, data FROM bridge_sent
), keyed AS (
  SELECT session_id,
    CASE WHEN length(data) > 2 THEN encode(substr(data, 3, get_byte(data, 1)), 'escape') ELSE '(damaged)' END AS key
  FROM sealed
)
SELECT key, count(*), array_agg(DISTINCT session_id) FROM keyed GROUP BY key ORDER BY key"""


class Found(NamedTuple):
    key: str
    values: int
    sessions: list[UUID]


class Command(BaseCommand):
    help = "Count what is stored under each encryption key: an old one may go when nothing is under it any more."

    def handle(self, **_: object) -> None:
        if not settings.WA_ENCRYPTION_KEYS:
            raise CommandError("WA_ENCRYPTION_KEYS is not set here: run this where a session worker runs.")
        found = {one.key: one for one in _count()}
        first, *older = [entry.partition(":")[0].strip() for entry in settings.WA_ENCRYPTION_KEYS.split(",")]
        self._tell(found, first, "What is new comes under it.")
        for key in older:
            if self._tell(found, key, "They are sealed anew when their numbers connect; sent messages are removed after a week."):
                self._name(found[key].sessions)
            else:
                self.stdout.write("  It may go. Dumps of the database from before still need it.")
        for key in sorted(found.keys() - {first, *older}):
            self._tell(found, key, "It is not in WA_ENCRYPTION_KEYS: they cannot be opened.")
            self._name(found[key].sessions)

    def _tell(self, found: dict[str, Found], key: str, more: str) -> bool:
        one = found.get(key)
        if one is None:
            self.stdout.write(f"{key}: nothing.")
            return False
        self.stdout.write(f"{key}: {one.values} values of {len(one.sessions)} sessions. {more}")
        return True

    def _name(self, sessions: list[UUID]) -> None:
        for session in Session.objects.filter(id__in=sessions[:NAMED]).select_related("restaurant"):
            self.stdout.write(f"  {session.id} {session.restaurant.name}, {session.name}: {session.state}")
        if len(sessions) > NAMED:
            self.stdout.write(f"  and {len(sessions) - NAMED} more")


def _count() -> list[Found]:
    """Reads all of three tables, which may take longer than a request may."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")
        return fetch(Found, SEALED, {})
