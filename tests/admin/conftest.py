"""Two restaurants with everything a restaurant has, and people of every kind."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser
from pytest_django.plugin import DjangoDbBlocker

from sessions_app.models import ApiKey, Contact, InboundMessage, Membership, Message, Restaurant, Session, Webhook, Worker
from sessions_app.services import api_keys, messages, sessions, webhooks
from tests.admin.chromium import chromium


@dataclass(frozen=True)
class House:
    """One restaurant and a row of every kind that belongs to it."""

    restaurant: Restaurant
    session: Session
    message: Message
    key: ApiKey
    contact: Contact
    inbound: InboundMessage
    webhook: Webhook

    @property
    def rows(self) -> dict[str, object]:
        return {
            "restaurant": self.restaurant.pk,
            "session": self.session.pk,
            "message": self.message.pk,
            "apikey": self.key.pk,
            "contact": self.contact.pk,
            "inboundmessage": self.inbound.pk,
            "webhook": self.webhook.pk,
        }


def make_house(name: str, phone: str) -> House:
    restaurant = Restaurant.objects.create(name=name, default_region="DE", time_zone="Europe/Berlin")
    session = sessions.create(restaurant=restaurant, name=f"{name} line")
    message = messages.enqueue(session=session, to=phone, body=f"Hello from {name}", reference=f"{name}-1").message
    key, _ = api_keys.issue(restaurant=restaurant, name=f"{name} till")
    contact = Contact.objects.create(restaurant=restaurant, session=session, phone=phone, name=f"{name} guest")
    inbound = InboundMessage.objects.create(
        restaurant=restaurant,
        session=session,
        contact=contact,
        chat=phone,
        sender=phone,
        wa_id="A1",
        kind="text",
        text=f"{name} reply",
        sent_at=timezone.now(),
    )
    webhook = webhooks.create(restaurant=restaurant, url=f"https://till.example/{name}")
    return House(restaurant, session, message, key, contact, inbound, webhook)


@pytest.fixture
def ours(db: None) -> House:
    return make_house("Lucia", "+4915112345601")


@pytest.fixture
def theirs(db: None) -> House:
    return make_house("Odile", "+4915112345602")


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def member(house: House, role: str) -> User:
    user = User.objects.create_user(f"{role}-{house.restaurant.name}", is_staff=True)
    Membership.objects.create(user=user, restaurant=house.restaurant, role=role)
    return user


@pytest.fixture
def manager(ours: House) -> Client:
    return signed_in(member(ours, "manager"))


@pytest.fixture
def viewer(ours: House) -> Client:
    return signed_in(member(ours, "viewer"))


@pytest.fixture
def outsider(db: None) -> Client:
    """Staff, but a member of nothing; Django's own permissions, however many, open no restaurant."""
    return signed_in(User.objects.create_user("outsider", is_staff=True))


@pytest.fixture
def boss(db: None) -> Client:
    return signed_in(User.objects.create_superuser("boss"))


@pytest.fixture
def worker(db: None) -> Worker:
    now = timezone.now()
    return Worker.objects.create(
        name="w1",
        queue="worker.w1",
        capacity=10,
        bridge_ready=True,
        started_at=now,
        heartbeat_at=now,
        expires_at=now + timedelta(minutes=5),
    )


def be(session: Session, **truth: object) -> Session:
    """What the session's owner would write."""
    Session.objects.filter(pk=session.pk).update(**truth)
    session.refresh_from_db()
    return session


@pytest.fixture(scope="module")
def beside_a_loop() -> Iterator[None]:
    """Playwright runs a loop in the tests' thread, which makes Django refuse the ORM there without need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield


@pytest.fixture(scope="module")
def browser(beside_a_loop: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Browser]:
    with chromium() as opened:
        yield opened
