"""Can messages be accepted? That takes the database and nothing else: one that answers, and has the schema of this release."""

from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader

AWAY = "The database does not answer."
OLDER = "The database's schema is older than this release: run `manage.py migrate`."


class Readiness:
    """For one process. A schema that has been seen is not looked for again: migrations only add to it. So the old release stays
    ready while the next one's migrations run, and behind a newer schema."""

    def __init__(self) -> None:
        self._has_schema = False

    def lacking(self) -> str:
        """What is missing, for people; empty when nothing is."""
        try:
            self._has_schema = self._has_schema or _has_schema()
            _ask()
        except DatabaseError:
            connection.close()
            return AWAY
        return "" if self._has_schema else OLDER


def _has_schema() -> bool:
    loader = MigrationLoader(connection)
    return loader.applied_migrations.keys() >= set(loader.graph.leaf_nodes())


def _ask() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


readiness = Readiness()
