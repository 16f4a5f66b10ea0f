"""A worker that owns the connected session."""

import pytest

from sessions_app.models import Session
from sessions_app.services.ownership import Claimed, Registration
from tests.support.owning import connected, register


@pytest.fixture
def me(db: None) -> Registration:
    return register()


@pytest.fixture
def mine(session: Session, me: Registration) -> Claimed:
    return connected(session, me)
