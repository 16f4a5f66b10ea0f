import re
from collections.abc import Callable
from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate

_BESIDE = re.compile(r'(CREATE|DROP) (?:UNIQUE )?INDEX CONCURRENTLY (?:IF EXISTS )?"(\w+)"')


class SessionsAppConfig(AppConfig):
    name = "sessions_app"
    verbose_name = "WhatsApp"

    def ready(self) -> None:
        from sessions_app import checks  # noqa: F401  (registers itself; Django's settings are complete only now)

        pre_migrate.connect(_without_time_limit, sender=self)
        post_migrate.connect(_with_time_limit, sender=self)


def _without_time_limit(using: str, **_: Any) -> None:
    """An index of a large table takes longer than any request may; cut short it would be left behind, invalid."""
    with connections[using].cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
    if _built_beside not in connections[using].execute_wrappers:
        connections[using].execute_wrappers.append(_built_beside)


def _with_time_limit(using: str, **_: Any) -> None:
    if _built_beside in connections[using].execute_wrappers:
        connections[using].execute_wrappers.remove(_built_beside)
    with connections[using].cursor() as cursor:
        cursor.execute("RESET statement_timeout")


def _built_beside(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """What is built beside the traffic waits for every transaction that is older, and blocks nobody: no lock is too long to wait
    for. All other locks of migrations are, since traffic stands behind them."""
    found = _BESIDE.match(sql) if isinstance(sql, str) else None
    if found is None:
        return execute(sql, params, many, context)
    with context["connection"].cursor() as cursor:
        if found[1] == "CREATE":
            _make_room(cursor, found[2])
        cursor.execute("SET lock_timeout = 0")
        try:
            return execute(sql, params, many, context)
        finally:
            cursor.execute("RESET lock_timeout")


def _make_room(cursor: Any, index: str) -> None:
    """A migration that was killed has left it behind, invalid: nothing would build it again."""
    cursor.execute(
        "SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE c.relname = %s AND NOT i.indisvalid AND pg_table_is_visible(c.oid)",
        [index],
    )
    if cursor.rowcount:
        cursor.execute(f'DROP INDEX CONCURRENTLY "{index}"')
