"""The test stack itself: its parts are real, and can be stopped, killed and started again one by one."""

from pathlib import Path
from urllib.request import urlopen

import pytest

from restaurant_wa.local.ports import is_free
from tests.support.fixtures import MakeStack
from tests.support.http import TIMEOUT_S
from tests.support.stack import eventually

pytestmark = pytest.mark.e2e


def test_it_serves_the_web_process_on_a_migrated_database(make_stack: MakeStack) -> None:
    stack = make_stack(start=False)
    stack.start("web")
    assert stack.api.get("/livez")
    assert stack.sql("SELECT count(*) AS messages FROM message") == [{"messages": 0}]


def test_two_stacks_do_not_see_each_other(make_stack: MakeStack) -> None:
    first, second = make_stack(start=False), make_stack(start=False)
    first.sql("CREATE TABLE only_here ()")
    assert second.sql("SELECT to_regclass('only_here') AS found") == [{"found": None}]


def test_a_killed_part_leaves_the_others_running(make_stack: MakeStack) -> None:
    stack = make_stack(start=False)
    stack.start("web")
    stack.kill("valkey")
    assert stack.api.get("/livez")
    stack.start("valkey")
    stack.kill("web")
    eventually(lambda: is_free(stack.site.port), what="web's port to be free")
    stack.start("web")
    assert stack.api.get("/livez")


def test_a_dead_beat_shows_in_its_health(make_stack: MakeStack) -> None:
    stack = make_stack(start=False)
    stack.start("web", "default", "beat")
    eventually(lambda: stack.api.get("/health")["sweep_age_s"] is not None, what="the first sweep")
    stack.kill("beat")
    eventually(lambda: stack.api.get("/health")["sweep_age_s"] > 5, what="its silence to show")
    stack.start("beat")
    eventually(lambda: stack.api.get("/health")["sweep_age_s"] < 5, what="it to go on")


def test_a_postgresql_that_was_killed_is_started_again_where_there_is_no_ps(
    make_stack: MakeStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = make_stack(start=False, own_postgres=True)
    stack.kill("postgres")
    monkeypatch.setenv("PATH", str(tmp_path))
    stack.start("postgres")
    eventually(lambda: stack.sql("SELECT 1 AS one"), what="PostgreSQL")


def test_it_is_reached_on_this_machine_by_an_environment_for_a_proxy(
    make_stack: MakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", "orders.example")
    for name in ("BEHIND_TLS_PROXY", "SECURE_COOKIES", "SECURE_SSL_REDIRECT"):
        monkeypatch.setenv(name, "true")
    stack = make_stack(start=False)
    stack.start("web")
    with urlopen(f"{stack.site.env['WEB_URL']}/admin/login/", timeout=TIMEOUT_S) as page:
        assert page.status == 200 and page.url.startswith("http://")
        assert "csrftoken" in page.headers["Set-Cookie"] and "Secure" not in page.headers["Set-Cookie"]
