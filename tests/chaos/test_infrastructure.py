"""PostgreSQL, Redis and the web side that blink under load: work resumes by itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import pytest
import redis

from tests.chaos.fleet import Fleet
from tests.chaos.lengths import lasting
from tests.chaos.traffic import Traffic
from tests.support.fixtures import MakeStack
from tests.support.stack import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.chaos]
PACE = {"PACE_MIN_DELAY_MS": 50, "PACE_MAX_DELAY_MS": 250, "TYPING_MAX_MS": 20}


@pytest.fixture(scope="module")
def fleet(make_module_stack: MakeStack) -> Fleet:
    fleet = Fleet(make_module_stack(start=False, own_postgres=True, **PACE), workers=2).open()
    fleet.stack.start("default", "beat")
    return fleet


@pytest.mark.parametrize("how", ["restarted", pytest.param("killed", marks=pytest.mark.chaos(long=True))])
def test_postgresql_blinks(fleet: Fleet, dice: Random, how: str) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.4))
        text = fleet.schedule(1)
        with traffic.without("postgres", kill=how == "killed") as since:
            eventually(lambda: traffic.till.refused(since), what="the API to say that it cannot take an order")
    fleet.shown_once(text, timeout=120)


@pytest.mark.chaos(long=True)
def test_postgresql_is_gone_for_longer_than_a_lease(fleet: Fleet, dice: Random, outage_s: float) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.4))
        before = {worker: _leases_lost(fleet, worker) for worker in fleet.workers}
        with traffic.without("postgres", seconds=outage_s, kill=False):
            eventually(
                lambda: all(_leases_lost(fleet, worker) > before[worker] for worker in fleet.workers),
                timeout=outage_s,
                what="the workers to give up their leases",
            )


@pytest.mark.chaos(long=True)
def test_redis_is_flushed(fleet: Fleet, dice: Random) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.4))
        redis.Redis.from_url(fleet.stack.site.env["REDIS_URL"]).flushall()


@pytest.mark.chaos(long=True)
def test_redis_is_restarted(fleet: Fleet, dice: Random) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.4))
        with traffic.without("valkey"):
            pass


def test_redis_is_gone(fleet: Fleet, dice: Random, outage_s: float) -> None:
    """Messages are accepted and sent all the while; the wake-ups are not missed, since the owners look by themselves. What
    comes due meanwhile goes once Redis is back."""
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.3))
        text = fleet.schedule(outage_s / 2)
        with traffic.without("valkey", seconds=outage_s) as since:
            traffic.reach(1)
            eventually(lambda: traffic.till.taken(since) >= 10, what="orders to be accepted")
            traffic.goes_on(5)
    fleet.shown_once(text, timeout=120)


@pytest.mark.parametrize("what", ["writes", pytest.param("pings", marks=pytest.mark.chaos(long=True))])
def test_redis_answers_errors(fleet: Fleet, dice: Random, outage_s: float, what: str) -> None:
    """As one that was a replica a moment ago, or whose disk is full: messages go on, and no worker ends because of it."""
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.3))
        text = fleet.schedule(outage_s / 2)
        with lasting(outage_s), _redis_refuses(fleet, what):
            traffic.goes_on(5)
    fleet.shown_once(text, timeout=120)


def test_web_is_gone(fleet: Fleet, dice: Random, outage_s: float) -> None:
    """Sending does not need it; what the bridges have to tell waits in their spools and arrives afterwards."""
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.3))
        with traffic.without("web", seconds=outage_s):
            traffic.reach(1)
        eventually(lambda: _delivered(traffic) >= traffic.total, timeout=120, what="every receipt")


@contextmanager
def _redis_refuses(fleet: Fleet, what: str) -> Iterator[None]:
    """Writes alone; or pings too, so that nobody who connects anew gets as far as a write."""
    client = redis.Redis.from_url(fleet.stack.site.env["REDIS_URL"])
    client.config_set("min-replicas-to-write", 1)
    if what == "pings":
        client.acl_setuser("default", enabled=True, commands=["-ping"])
    try:
        yield
    finally:
        client.acl_setuser("default", enabled=True, commands=["+ping"])
        client.config_set("min-replicas-to-write", 0)


def _leases_lost(fleet: Fleet, worker: str) -> int:
    return fleet.stack.log(worker).count("worker.lease_ran_out")


def _delivered(traffic: Traffic) -> int:
    query = "SELECT count(*) AS n FROM message WHERE reference = %s AND status IN ('delivered', 'read')"
    return int(traffic.stack.sql(query, traffic.name)[0]["n"])
