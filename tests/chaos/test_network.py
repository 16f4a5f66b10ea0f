"""Cables pulled: between a worker and PostgreSQL, between a bridge and WhatsApp."""

from collections.abc import Iterator
from contextlib import ExitStack
from random import Random
from urllib.parse import urlsplit

import pytest

from tests.chaos.fleet import Fleet
from tests.support.fixtures import MakeStack
from tests.support.proxy import Proxy
from tests.support.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.chaos(long=True)]
PACE = {"PACE_MIN_DELAY_MS": 50, "PACE_MAX_DELAY_MS": 250, "TYPING_MAX_MS": 20, "SEND_ACK_TIMEOUT_S": 5}
CUT_OFF = "session-1"  # the worker whose cables are pulled
HOW = pytest.mark.parametrize("how", ["silence", "sever"])


class Cables:
    """Of one worker: to PostgreSQL as the worker, as its bridge, and from its bridge to WhatsApp."""

    def __init__(self, stack: Stack, open_: ExitStack) -> None:
        env = stack.site.env
        names = ("DATABASE_URL", "BRIDGE_DATABASE_URL", "WA_SOCKET_URL")
        self.database, self.store, self.whatsapp = (open_.enter_context(Proxy(urlsplit(env[name]).port or 0)) for name in names)
        cables = zip(names, (self.database, self.store, self.whatsapp), strict=True)
        stack.configure(CUT_OFF, **{name: cable.instead_of(env[name]) for name, cable in cables})


@pytest.fixture(scope="module")
def cables_and_fleet(make_module_stack: MakeStack) -> Iterator[tuple[Cables, Fleet]]:
    stack = make_module_stack(start=False, **PACE)
    with ExitStack() as open_:
        cables = Cables(stack, open_)
        yield cables, Fleet(stack, workers=2).open()
        stack.stop_all()


@pytest.fixture
def fleet(cables_and_fleet: tuple[Cables, Fleet]) -> Fleet:
    return cables_and_fleet[1]


@pytest.fixture
def cables(cables_and_fleet: tuple[Cables, Fleet]) -> Iterator[Cables]:
    cables, _ = cables_and_fleet
    yield cables
    for each in (cables.database, cables.store, cables.whatsapp):
        each.heal()


@HOW
def test_a_worker_is_cut_off_from_postgresql(fleet: Fleet, cables: Cables, dice: Random, how: str) -> None:
    """It lets go before its lease has run out; its bridge, which still reaches WhatsApp, does no harm."""
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.3))
        getattr(cables.database, how)()
        getattr(cables.store, how)()
        traffic.reach(1)
        cables.database.heal()
        cables.store.heal()


@HOW
def test_a_bridge_is_cut_off_from_its_keys(fleet: Fleet, cables: Cables, dice: Random, how: str) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.3))
        getattr(cables.store, how)()
        traffic.goes_on(50)  # of the others
        cables.store.heal()


@HOW
def test_a_bridge_is_cut_off_from_whatsapp(fleet: Fleet, cables: Cables, dice: Random, how: str) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.3))
        getattr(cables.whatsapp, how)()
        traffic.goes_on(50)  # of the others
        cables.whatsapp.heal()


@pytest.mark.parametrize("cable", ["database", "store"])
def test_a_worker_is_cut_off_and_killed(fleet: Fleet, cables: Cables, dice: Random, cable: str) -> None:
    with fleet.traffic(dice) as traffic:
        traffic.reach(dice.uniform(0.1, 0.3))
        getattr(cables, cable).silence()
        traffic.goes_on(20)  # of the others
        fleet.kill(CUT_OFF, bridges=True)
