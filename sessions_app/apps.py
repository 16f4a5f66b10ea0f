from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate


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


def _with_time_limit(using: str, **_: Any) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("RESET statement_timeout")
