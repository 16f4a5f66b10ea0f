"""Whether messages can be accepted, by the schema of the database."""

import json

import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.test.utils import CaptureQueriesContext

from sessions_app.api import probes
from sessions_app.api.readiness import OLDER, Readiness

pytestmark = pytest.mark.django_db


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Readiness:
    """Of a process that has just begun."""
    begun = Readiness()
    monkeypatch.setattr(probes, "readiness", begun)
    return begun


@pytest.fixture
def latest() -> str:
    """The name of the last migration, which has not been applied here."""
    app, name = MigrationLoader(connection).graph.leaf_nodes("sessions_app")[0]
    MigrationRecorder(connection).record_unapplied(app, name)
    return str(name)


def test_an_older_schema_is_not_ready_and_says_what_to_do(fresh: Readiness, latest: str) -> None:
    answer = Client().get("/readyz")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert json.loads(answer.content) == {"status": "unavailable", "database": True, "detail": OLDER}
    MigrationRecorder(connection).record_applied("sessions_app", latest)
    answer = Client().get("/readyz")
    assert answer.status_code == 200
    assert json.loads(answer.content) == {"status": "ok", "database": True, "detail": ""}


def test_an_empty_database_is_not_ready(fresh: Readiness) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE django_migrations")
    assert fresh.lacking() == OLDER


def test_a_newer_schema_is_ready(fresh: Readiness) -> None:
    MigrationRecorder(connection).record_applied("sessions_app", "9999_of_a_later_release")
    assert fresh.lacking() == ""


def test_once_it_is_there_nobody_looks_for_it_again(fresh: Readiness) -> None:
    assert fresh.lacking() == ""
    with CaptureQueriesContext(connection) as queries:
        assert fresh.lacking() == ""
    assert [query["sql"] for query in queries] == ["SELECT 1"]
