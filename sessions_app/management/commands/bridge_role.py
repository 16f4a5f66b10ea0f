"""`manage.py bridge_role`: the database role of BRIDGE_DATABASE_URL, which sees the bridge's three tables and nothing else."""

from argparse import ArgumentParser
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import ProgrammingError, connection, transaction
from psycopg import sql

TABLES = ("bridge_creds", "bridge_key", "bridge_sent")
LOCK = 0x42524944  # two migration jobs at once must not both create the role


class Command(BaseCommand):
    help = "Create or update the role of BRIDGE_DATABASE_URL with rights on the bridge's tables only. Run it after migrate."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--migrate", action="store_true", help="migrate first, in the same process")

    def handle(self, *_: object, migrate: bool, **__: object) -> None:
        if migrate:
            call_command("migrate", interactive=False, verbosity=0)
        address = urlsplit(settings.BRIDGE_DATABASE_URL)
        role, password = unquote(address.username or ""), unquote(address.password or "")
        if not role or not password:
            raise CommandError("BRIDGE_DATABASE_URL must name the bridge's role and its password.")
        if role == connection.settings_dict["USER"]:
            raise CommandError("BRIDGE_DATABASE_URL names the same role as DATABASE_URL: give the bridge one of its own.")
        try:
            _make(role, password)
        except ProgrammingError as error:
            hint = (
                "Grant CREATEROLE to the role of DATABASE_URL, or set BRIDGE_DATABASE_URL to DATABASE_URL's value and skip this."
            )
            raise CommandError(f"{str(error).splitlines()[0]}. {hint}") from error
        self.stdout.write(f"Role {role} may use {', '.join(TABLES)}.")


def _make(role: str, password: str) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
        verb = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
        for statement in _statements(verb, role, password):
            cursor.execute(statement)


def _statements(verb: sql.SQL, role: str, password: str) -> list[sql.Composed]:
    name, tables = sql.Identifier(role), sql.SQL(", ").join(map(sql.Identifier, TABLES))
    return [
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, name, sql.Literal(password)),
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(connection.settings_dict["NAME"]), name),
        sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}").format(name),
        sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(name),
        sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}").format(tables, name),
    ]
