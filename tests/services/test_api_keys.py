from datetime import timedelta

import pytest
from django.utils import timezone

from sessions_app.models import ApiKey, Restaurant
from sessions_app.services import api_keys


def test_it_shows_the_key_once_and_keeps_only_its_hash(restaurant: Restaurant) -> None:
    key, plain = api_keys.issue(restaurant=restaurant, name="till")
    assert plain.startswith(f"{key.prefix}_")
    assert len(plain) == len("rwa_") + 8 + 1 + 43
    stored = ApiKey.objects.values().get()
    assert plain.encode() not in bytes(stored["digest"])
    assert plain[13:] not in str(stored)


def test_it_authenticates_its_own_key(restaurant: Restaurant) -> None:
    key, plain = api_keys.issue(restaurant=restaurant, name="till")
    api_keys.issue(restaurant=restaurant, name="other")
    assert api_keys.authenticate(token=plain) == key


def test_the_right_prefix_with_a_wrong_rest_opens_nothing(restaurant: Restaurant) -> None:
    _, plain = api_keys.issue(restaurant=restaurant, name="till")
    forged = plain[:-1] + ("A" if plain[-1] != "A" else "B")
    assert api_keys.authenticate(token=forged) is None


@pytest.mark.parametrize(
    "token", ["", "rwa_", "x", "rwa_abcdefgh_" + "x" * 43, "\ud800", "rwa_abcdefgh_" + "x" * 10_000, "é" * 56]
)
def test_other_tokens_open_nothing(db: None, token: str) -> None:
    assert api_keys.authenticate(token=token) is None


def test_revoked_and_expired_keys_open_nothing(restaurant: Restaurant) -> None:
    revoked, revoked_token = api_keys.issue(restaurant=restaurant, name="revoked")
    api_keys.revoke(key=revoked)
    assert api_keys.authenticate(token=revoked_token) is None
    _, expired = api_keys.issue(restaurant=restaurant, name="expired", expires_at=timezone.now() - timedelta(seconds=1))
    assert api_keys.authenticate(token=expired) is None


def test_revoking_twice_keeps_the_first_time(restaurant: Restaurant) -> None:
    key, _ = api_keys.issue(restaurant=restaurant, name="till")
    api_keys.revoke(key=key)
    first = key.revoked_at
    api_keys.revoke(key=key)
    assert first and key.revoked_at == first


def test_it_notes_use_at_most_once_a_minute(restaurant: Restaurant) -> None:
    key, token = api_keys.issue(restaurant=restaurant, name="till")
    api_keys.authenticate(token=token)
    key.refresh_from_db()
    first = key.last_used_at
    api_keys.authenticate(token=token)
    key.refresh_from_db()
    assert first and key.last_used_at == first
    ApiKey.objects.update(last_used_at=first - timedelta(seconds=61))
    api_keys.authenticate(token=token)
    key.refresh_from_db()
    assert key.last_used_at and key.last_used_at >= first


def test_it_refuses_scopes_that_do_not_exist(restaurant: Restaurant) -> None:
    with pytest.raises(api_keys.InvalidScope, match="messages:write"):
        api_keys.issue(restaurant=restaurant, name="till", scopes=["everything"])
    with pytest.raises(api_keys.InvalidScope):
        api_keys.issue(restaurant=restaurant, name="till", scopes=[])
