from collections.abc import Callable

import pytest

from sessions_app.models import Restaurant
from sessions_app.services import api_keys
from tests.api.client import ApiClient

MakeClient = Callable[..., ApiClient]


@pytest.fixture
def client_with(restaurant: Restaurant) -> MakeClient:
    """A client of the restaurant with a key of these scopes."""

    def make(*scopes: str) -> ApiClient:
        _, key = api_keys.issue(restaurant=restaurant, name="till", scopes=scopes or api_keys.ALL_SCOPES)
        return ApiClient(key)

    return make


@pytest.fixture
def client(client_with: MakeClient) -> ApiClient:
    return client_with()


@pytest.fixture
def stranger(db: None) -> ApiClient:
    """A client of another restaurant with all scopes."""
    _, key = api_keys.issue(restaurant=Restaurant.objects.create(name="Stranger", default_region="DE"), name="theirs")
    return ApiClient(key)
