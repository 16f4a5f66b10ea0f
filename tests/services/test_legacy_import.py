"""An old installation's restaurants, taken from a real database of their own."""

import io
import secrets
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from psycopg import sql

from sessions_app.models import Restaurant, Session, SessionEvent
from sessions_app.services import legacy_source, sessions
from tests.support import databases

pytestmark = pytest.mark.django_db
TABLE = "CREATE TABLE restaurants (id serial PRIMARY KEY, name text, whatsapp_number text, timezone text, is_active boolean)"


class Old:
    """The database of an old installation."""

    def __init__(self, url: str) -> None:
        self.url = url

    def execute(self, statement: Any, *values: Any) -> None:
        with closing(psycopg.connect(self.url, autocommit=True, connect_timeout=5)) as server:
            server.execute(statement, values or None)

    def add(self, name: str | None, number: str | None, zone: str | None = None, active: bool | None = None) -> None:
        statement = "INSERT INTO restaurants (name, whatsapp_number, timezone, is_active) VALUES (%s, %s, %s, %s)"
        self.execute(statement, name, number, zone, active)


@pytest.fixture
def empty() -> Iterator[Old]:
    server, name = Old(databases.address_of("postgres")), f"old_{secrets.token_hex(6)}"
    server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield Old(databases.address_of(name))
    finally:
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def old(empty: Old) -> Old:
    empty.execute(TABLE)
    return empty


def run(old: Old, *arguments: str) -> str:
    out = io.StringIO()
    call_command("import_legacy", "--from", old.url, *arguments, stdout=out, stderr=out)
    return out.getvalue()


def picture() -> list[Any]:
    """Everything an import writes."""
    return [list(model.objects.order_by("pk").values()) for model in (Restaurant, Session, SessionEvent)]


def test_it_takes_restaurants_and_their_numbers(old: Old) -> None:
    old.add("Trattoria", "+49 151 12345678", "Europe/Berlin", True)
    old.add("Bistro", None, None, False)
    said = run(old)
    assert "Taken: 2 restaurants, 1 numbers. Unchanged: 0. Skipped: 0." in said
    assert "credentials are not taken" in said and "id, name, whatsapp_number, timezone, is_active" in said
    first, second = Restaurant.objects.order_by("legacy_id")
    assert (first.name, first.time_zone, first.default_region, first.is_active) == ("Trattoria", "Europe/Berlin", "DE", True)
    assert (second.name, second.time_zone, second.is_active, second.legacy_id) == ("Bistro", "UTC", False, "legacy:2")
    session = Session.objects.get()
    assert (session.restaurant, session.name, session.state, session.linked_at) == (first, "Trattoria", "unlinked", None)
    assert session.events.get(kind="imported").detail["phone"] == "+4915112345678"


def test_a_second_run_changes_nothing(old: Old) -> None:
    old.add("Trattoria", "+4915112345678")
    run(old)
    Restaurant.objects.update(name="Renamed here")
    before = picture()
    assert "Taken: 0 restaurants, 0 numbers. Unchanged: 1." in run(old)
    assert picture() == before


def test_a_session_deleted_here_stays_deleted(old: Old) -> None:
    old.add("Trattoria", "+4915112345678")
    run(old)
    sessions.delete(session=Session.objects.get())
    assert "0 numbers" in run(old)
    assert Session.objects.filter(deleted_at=None).count() == 0


def test_a_number_filled_in_later_is_taken(old: Old) -> None:
    old.add("Trattoria", "")
    assert "1 restaurants, 0 numbers" in run(old)
    old.execute("UPDATE restaurants SET whatsapp_number = '+4915112345678'")
    assert "0 restaurants, 1 numbers" in run(old)


def test_a_dry_run_says_the_same_and_takes_nothing(old: Old) -> None:
    old.add("Trattoria", "+4915112345678")
    said = run(old, "--dry-run")
    assert "Taken: 1 restaurants, 1 numbers." in said and "nothing was changed" in said
    assert picture() == [[], [], []]


def test_wrong_rows_are_named_one_line_each_and_the_others_taken(old: Old) -> None:
    old.add("  ", "+4915112345678")
    old.add("No number", "+49 12")
    old.add("No zone", None, "Europe/Atlantis")
    old.add("Good", None)
    lines = [line for line in run(old).splitlines() if line.startswith("Skipped restaurant")]
    assert [line.split(":")[0] for line in lines] == [f"Skipped restaurant {number}" for number in (1, 2, 3)]
    assert "name" in lines[0] and lines[1].endswith("no such number is in use in its country.") and "Europe/Atlantis" in lines[2]
    assert Restaurant.objects.get().name == "Good"


def test_ids_that_are_missing_doubled_or_no_yes_or_no_are_wrong(empty: Old) -> None:
    empty.execute("CREATE TABLE restaurants (id text, name text, is_active text)")
    empty.execute(
        "INSERT INTO restaurants VALUES ('a', 'One', 'yes'), ('a', 'Two', 'no'), (NULL, 'Three', '1'), ('d', 'Four', '?')"
    )
    said = run(empty)
    assert "none of the columns whatsapp_number, whatsapp_phone, phone" in said
    assert "Skipped: 3." in said and "come before" in said and "no id" in said and "neither true nor false" in said
    assert Restaurant.objects.get().name == "One"


@pytest.mark.parametrize("written", ["4915112345678", "004915112345678", "+49 (151) 123-45678"])
def test_numbers_begin_with_their_country_code(old: Old, written: str) -> None:
    old.add("Trattoria", written)
    run(old)
    assert SessionEvent.objects.get(kind="imported").detail["phone"] == "+4915112345678"


@pytest.mark.parametrize("number", ["+80012345678", "+870773111632", "+88213300655", "+883510012345678"])
def test_numbers_of_no_country_are_taken_as_well(old: Old, number: str) -> None:
    old.add("Ship", number)
    old.add("Trattoria", "+4915112345678")
    assert "Taken: 2 restaurants, 2 numbers." in run(old)
    assert Restaurant.objects.get(name="Ship").default_region == "US"


def test_or_are_written_as_dialled_in_a_region(old: Old) -> None:
    old.add("Trattoria", "0151 12345678")
    assert "Skipped: 1" in run(old)
    run(old, "--region", "DE")
    assert SessionEvent.objects.get(kind="imported").detail["phone"] == "+4915112345678"


def test_the_first_known_column_counts_even_where_it_is_empty(old: Old) -> None:
    old.execute("ALTER TABLE restaurants ADD phone text")
    old.add("Trattoria", None)
    old.execute("UPDATE restaurants SET phone = '+493012345678'")
    assert "0 numbers" in run(old), "its desk telephone is no WhatsApp number"


def test_two_installations_do_not_hide_each_other(old: Old) -> None:
    old.add("Trattoria", None)
    run(old, "--source", "north")
    assert "Taken: 1 restaurants" in run(old, "--source", "south")


def test_another_table_and_schema(empty: Old) -> None:
    empty.execute("CREATE SCHEMA shop")
    empty.execute("CREATE TABLE shop.places (id int, name text, phone text)")
    empty.execute("INSERT INTO shop.places VALUES (7, 'Trattoria', '+4915112345678')")
    with pytest.raises(CommandError, match=r"no table restaurants .* there is shop\.places\."):
        run(empty)
    run(empty, "--table", "shop.places")
    assert Restaurant.objects.get().legacy_id == "legacy:7"


def test_missing_columns_are_named_beside_those_found(empty: Old) -> None:
    empty.execute("CREATE TABLE restaurants (nr int, title text)")
    with pytest.raises(CommandError, match=r"public\.restaurants has no column id and name; it has nr, title\."):
        run(empty)


def test_a_name_in_two_schemas_has_to_be_chosen(old: Old) -> None:
    old.execute("CREATE SCHEMA a")
    old.execute("CREATE TABLE a.restaurants (id int, name text)")
    with pytest.raises(CommandError, match=r"public\.restaurants, a\.restaurants"):
        run(old)


def test_it_can_only_read_there(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy_source, "_TABLES", "DROP TABLE restaurants")
    with pytest.raises(CommandError, match="read-only transaction"):
        run(old)
    old.execute("SELECT FROM restaurants")


def test_a_table_under_a_lock_is_not_waited_for_for_ever(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy_source, "STATEMENT_TIMEOUT_MS", 200)
    with closing(psycopg.connect(old.url)) as holder:
        holder.execute("LOCK TABLE restaurants")
        with pytest.raises(CommandError, match="statement timeout"):
            run(old)


@pytest.mark.parametrize("url", ["mysql://u:hidden@h/d", "postgresql://u:hid%zzden@h/d", "hidden"])
def test_a_wrong_address_is_not_repeated(url: str) -> None:
    with pytest.raises(CommandError, match="no address of a PostgreSQL database") as told:
        run(Old(url))
    assert "hid" not in str(told.value)


def test_an_address_may_name_the_driver_of_the_old_service(old: Old) -> None:
    scheme, rest = old.url.split("://")
    assert "Taken: 0" in run(Old(f"{scheme}+asyncpg://{rest}"))


def test_nobody_there_is_one_line(old: Old) -> None:
    with pytest.raises(CommandError, match="cannot be read") as told:
        run(Old("postgresql://u:hidden@127.0.0.1:1/d"))
    assert "hidden" not in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(("option", "value"), [("--region", "XX"), ("--source", "a b"), ("--source", "")])
def test_wrong_options_are_refused(old: Old, option: str, value: str) -> None:
    with pytest.raises(CommandError, match=option):
        run(old, option, value)


def test_migrating_twice_is_a_no_op() -> None:
    def tables() -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT table_name, column_name, data_type, column_default, is_nullable FROM information_schema.columns"
                " WHERE table_schema = 'public' ORDER BY 1, 2"
            )
            columns = cursor.fetchall()
            cursor.execute("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1")
            return [columns, cursor.fetchall(), list(MigrationRecorder.Migration.objects.order_by("pk").values())]

    before, out = tables(), io.StringIO()
    call_command("migrate", stdout=out)
    assert "No migrations to apply" in out.getvalue()
    assert tables() == before
