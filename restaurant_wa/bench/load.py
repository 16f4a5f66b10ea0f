"""Linked sessions with full queues, by the same services that the API and the admin call."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID

from django.conf import settings
from django.db import connection

from restaurant_wa.bench.figures import text_of
from restaurant_wa.local.virtual_phones import Refused, VirtualPhones
from sessions_app.models import Restaurant, Session
from sessions_app.services import messages, sessions

LINK_TIMEOUT_S = 600.0
POLL_S = 0.2
SAY_EVERY_S = 5.0
AT_ONCE = 8  # requests to the network
CUSTOMERS = "+49176040"  # and five digits

WISHES = {"online": sessions.start, "offline": sessions.stop}

Say = Callable[[str], None]


def customer(number: int) -> str:
    return f"{CUSTOMERS}{number:05d}"


def restaurant_phone(number: int) -> str:
    return f"+49171392{number:05d}"


def prepare(*, count: int, customers: int, say: Say) -> None:
    """`count` restaurants with one linked and connected session each, which sends nothing before `fill`. Raises TimeoutError."""
    phones = VirtualPhones(settings.SIMULATOR_URL)
    numbers = [*map(restaurant_phone, range(count)), *map(customer, range(customers))]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda number: phones.make(number, number), numbers))
        made = {_session(number): restaurant_phone(number) for number in range(count)}
        _link_all(made, phones, pool, say)


def fill(*, count: int, customers: int, each: int) -> None:
    """`each` messages for every session; the restaurants are switched on when all are queued, so that all begin at once."""
    made = {int(one.name): one for one in Session.objects.select_related("restaurant")}

    def fill_one(number: int) -> None:
        try:
            for turn in range(each):
                messages.enqueue(session=made[number], to=customer(number % customers), body=text_of(number, turn))
        finally:
            connection.close()  # each thread has its own

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(fill_one, range(count)))
    Restaurant.objects.update(is_active=True)


def wish(desired: str) -> None:
    """Of all sessions, by the service behind the admin's buttons."""
    for session in Session.objects.select_related("restaurant"):
        WISHES[desired](session=session, actor="benchmark")


def _session(number: int) -> Session:
    restaurant = Restaurant.objects.create(name=f"Restaurant {number}", default_region="DE", is_active=False)
    return sessions.create(restaurant=restaurant, name=str(number))


def _link_all(numbers: Mapping[Session, str], phones: VirtualPhones, pool: ThreadPoolExecutor, say: Say) -> None:
    """A few at a time, as in life: a new link makes hundreds of keys, and a bridge that makes them for all at once does nothing
    else meanwhile."""
    left, linking = list(numbers), dict[UUID, Session]()
    scanned: dict[UUID, str] = {}
    scans: list[Future[None]] = []
    started = said = time.monotonic()
    while left or linking:
        while left and len(linking) < AT_ONCE:
            session = left.pop()
            sessions.link(session=session, actor="benchmark")
            linking[session.pk] = session
        for pk, state, qr in Session.objects.filter(pk__in=linking).values_list("pk", "state", "qr"):
            if state == Session.State.CONNECTED:
                del linking[pk]
            elif qr and scanned.get(pk) != qr:
                scanned[pk] = qr
                scans.append(pool.submit(_scan, phones, numbers[linking[pk]], qr))
        if time.monotonic() - said > SAY_EVERY_S:
            said = time.monotonic()
            say(f"{len(numbers) - len(left) - len(linking)} of {len(numbers)} connected")
        if time.monotonic() - started > LINK_TIMEOUT_S:
            raise TimeoutError(f"{len(left) + len(linking)} sessions are not connected after {LINK_TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)
    for scan in scans:
        scan.result()


def _scan(phones: VirtualPhones, number: str, qr: str) -> None:
    try:
        phones.scan(number, qr)
    except Refused as refused:
        if refused.code not in {"qr_expired", "qr_unknown", "link_failed"}:  # the next code is on its way
            raise
