"""Signing in with a password: failures are told in the log, and too many of one name from one address end it for a while."""

from typing import Any

import structlog
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import PermissionDenied
from django.dispatch import receiver
from django.http import HttpRequest

from sessions_app.services import counters

log = structlog.get_logger(__name__)
MOST_FAILURES = 10  # within `counters.SIGN_INS_KEPT_S`


class SignIn(ModelBackend):
    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **more: Any
    ) -> User | None:
        """None for a wrong name or password. Raises PermissionDenied, whatever the password, after too many of those."""
        if request is not None and counters.failed_sign_ins(username or "", _address(request)) >= MOST_FAILURES:
            raise PermissionDenied
        return super().authenticate(request, username=username, password=password, **more)


@receiver(user_login_failed)
def _note(credentials: dict[str, Any], request: HttpRequest | None = None, **_: Any) -> None:
    """Without the name: people type their password there."""
    address = _address(request) if request is not None else ""
    failures = counters.count_failed_sign_in(str(credentials.get("username") or ""), address)
    log.warning("admin.sign_in_failed", address=address, failures=failures, refused=failures > MOST_FAILURES)


def _address(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))
