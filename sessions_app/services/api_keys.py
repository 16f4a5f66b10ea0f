"""API keys: made and shown once, checked in constant time, revoked at once. Only a SHA-256 of each is kept."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from sessions_app.errors import DomainError
from sessions_app.models import ApiKey, Restaurant

ALL_SCOPES: tuple[str, ...] = tuple(ApiKey.Scope.values)
USE_IS_NOTED_EVERY = timedelta(minutes=1)

_SHAPE = re.compile(r"(rwa_[a-z2-9]{8})_[A-Za-z0-9_-]{43}", re.ASCII)
_PREFIX_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"  # none that are mistaken for each other
_NO_DIGEST = bytes(32)


class InvalidScope(DomainError):
    """This scope does not exist."""

    code = "invalid_scope"


def issue(
    *,
    restaurant: Restaurant,
    name: str,
    scopes: Sequence[str] = ALL_SCOPES,
    expires_at: datetime | None = None,
    created_by: AbstractBaseUser | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its plain text, which exists nowhere else from now on. Raises InvalidScope."""
    unknown = set(scopes) - set(ALL_SCOPES)
    if unknown or not scopes:
        raise InvalidScope(f"Choose at least one of {', '.join(ALL_SCOPES)}.")
    prefix = "rwa_" + "".join(secrets.choice(_PREFIX_LETTERS) for _ in range(8))
    plain = f"{prefix}_{secrets.token_urlsafe(32)}"
    key = ApiKey.objects.create(
        restaurant=restaurant,
        name=name,
        prefix=prefix,
        digest=_digest(plain),
        scopes=list(dict.fromkeys(scopes)),
        expires_at=expires_at,
        created_by_id=created_by.pk if created_by else None,
    )
    return key, plain


def authenticate(*, token: str) -> ApiKey | None:
    """The valid key this token belongs to, with its restaurant; None for any other token, whatever is wrong with it."""
    prefix = prefix_of(token)
    found = ApiKey.objects.select_related("restaurant").filter(prefix=prefix).order_by() if prefix else ()
    key = next(iter(found), None)
    known = bytes(key.digest) if key else _NO_DIGEST
    if not hmac.compare_digest(known, _digest(token)) or key is None or not _is_valid(key, timezone.now()):
        return None
    _note_use(key)
    return key


def revoke(*, key: ApiKey) -> None:
    """From now on the key opens nothing; revoking twice keeps the first time."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=Now())
    key.refresh_from_db(fields=["revoked_at"])


def prefix_of(token: str) -> str:
    """The part of a token that may be logged; empty when it is not shaped like a key."""
    match = _SHAPE.fullmatch(token)
    return match[1] if match else ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _is_valid(key: ApiKey, now: datetime) -> bool:
    """That of a restaurant which is switched off is: what is accepted waits."""
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)


def _note_use(key: ApiKey) -> None:
    stale = timezone.now() - USE_IS_NOTED_EVERY
    if key.last_used_at is None or key.last_used_at < stale:
        # Conditional, so that a burst of requests writes the row once and not once each.
        ApiKey.objects.filter(Q(last_used_at=None) | Q(last_used_at__lt=stale), pk=key.pk).update(last_used_at=Now())
