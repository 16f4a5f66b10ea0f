"""PostgreSQL, Redis and the web side that blink under load: work resumes by itself."""

from random import Random

import pytest
import redis

from tests.chaos.fleet import Fleet, Line, Traffic
from tests.support.fixtures import MakeStack
from tests.support.http import HttpError, Json
from tests.support.stack import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.chaos]
PACE = {"PACE_MIN_DELAY_MS": 50, "PACE_MAX_DELAY_MS": 250, "TYPING_MAX_MS": 20}
MAKE_KEY = """
from sessions_app.models import Restaurant
from sessions_app.services import api_keys
print("key:" + api_keys.issue(restaurant=Restaurant.objects.get(pk="{restaurant}"), name="till")[1])
"""


@pytest.fixture(scope="module")
def fleet(make_module_stack: MakeStack) -> Fleet:
    return Fleet(make_module_stack(start=False, own_postgres=True, **PACE), workers=2).open()


@pytest.fixture(scope="module")
def api(fleet: Fleet) -> Json:
    """As the ordering system of the first line's restaurant."""
    said = fleet.stack.manage("shell", "-c", MAKE_KEY.format(restaurant=fleet.lines[0].restaurant))
    return fleet.stack.api.with_key(said.partition("key:")[2].strip())


@pytest.mark.parametrize("how", ["restarted", pytest.param("killed", marks=pytest.mark.chaos(long=True))])
def test_postgresql_blinks(fleet: Fleet, api: Json, dice: Random, how: str) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.4))
        fleet.stack.stop("postgres") if how == "restarted" else fleet.stack.kill("postgres")
        with pytest.raises(HttpError) as refused:
            _order(api, fleet.lines[0], "nobody", "takes this")
        assert (refused.value.status, refused.value.body["code"]) == (503, "database_unavailable")
        fleet.stack.start("postgres")


@pytest.mark.chaos(long=True)
def test_postgresql_is_gone_for_longer_than_a_lease(fleet: Fleet, dice: Random, outage_s: float) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.4))
        fleet.stack.stop("postgres")
        eventually(
            lambda: all("worker.lease_ran_out" in fleet.stack.log(worker) for worker in fleet.workers),
            timeout=outage_s,
            what="the workers to give up their leases",
        )
        fleet.stack.start("postgres")


@pytest.mark.chaos(long=True)
@pytest.mark.parametrize("how", ["flushed", "restarted"])
def test_redis_blinks(fleet: Fleet, api: Json, dice: Random, how: str) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.4))
        if how == "flushed":
            redis.Redis.from_url(fleet.stack.site.env["REDIS_URL"]).flushall()
        else:
            fleet.stack.kill("valkey")
            fleet.stack.start("valkey")
        _order(api, fleet.lines[0], traffic.name, traffic.also(fleet.lines[0], "afterwards"))


def test_redis_is_gone(fleet: Fleet, api: Json, dice: Random, outage_s: float) -> None:
    """Messages are accepted and sent all the while; the wake-ups are not missed, since the owners look by themselves."""
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.3))
        fleet.stack.kill("valkey")
        _order(api, fleet.lines[0], traffic.name, traffic.also(fleet.lines[0], "while Redis is away"))
        traffic.finish(timeout=60)
        fleet.stack.start("valkey")


def test_web_is_gone(fleet: Fleet, dice: Random, outage_s: float) -> None:
    """Sending does not need it; what the bridges have to tell waits in their spools and arrives afterwards."""
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.3))
        fleet.stack.kill("web")
        traffic.finish(timeout=60)
        fleet.stack.start("web")
        eventually(lambda: _delivered(traffic) == traffic.total, timeout=60, what="every receipt")


def _order(api: Json, line: Line, reference: str, text: str) -> None:
    api.post("/api/v1/messages", {"to": line.customer, "text": text, "reference": reference, "priority": "low"})


def _delivered(traffic: Traffic) -> int:
    query = "SELECT count(*) AS n FROM message WHERE reference = %s AND status IN ('delivered', 'read')"
    return int(traffic.stack.sql(query, traffic.name)[0]["n"])
