"""A fifth of a table with a hundred million rows is twenty million dead ones before PostgreSQL cleans up; a hundredth is one.

Only SHARE UPDATE EXCLUSIVE is taken, for which neither reading nor writing waits.
"""

from django.db import migrations

_DEAD = "autovacuum_vacuum_scale_factor"
_NEW = "autovacuum_vacuum_insert_scale_factor"  # for what is appended: old rows are frozen a few at a time
_CHANGED = "autovacuum_analyze_scale_factor"  # plans follow what is rare: what waits among all that is finished
_TABLES = {
    "message": (_DEAD, _NEW, _CHANGED),
    "message_event": (_DEAD, _NEW, _CHANGED),
    "webhook_delivery": (_DEAD, _NEW, _CHANGED),
    "bridge_key": (_DEAD, _CHANGED),
}


def _set(table: str, names: tuple[str, ...]) -> migrations.RunSQL:
    return migrations.RunSQL(
        f"ALTER TABLE {table} SET ({', '.join(f'{name} = 0.01' for name in names)})",
        f"ALTER TABLE {table} RESET ({', '.join(names)})",
    )


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0018_other_words_for_a_message")]

    operations = [_set(table, names) for table, names in _TABLES.items()]
