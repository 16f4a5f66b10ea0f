"""A restaurant with one session, as most tests need it."""

import pytest

from sessions_app.models import Restaurant, Session
from sessions_app.services import sessions


@pytest.fixture
def restaurant(db: None) -> Restaurant:
    return Restaurant.objects.create(name="Trattoria", default_region="DE", time_zone="Europe/Berlin")


@pytest.fixture
def session(restaurant: Restaurant) -> Session:
    return sessions.create(restaurant=restaurant, name="main")
