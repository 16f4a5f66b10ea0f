"""Settings that are fine while developing and dangerous in production: warnings there, errors here; and what is wrong anywhere.

`manage.py check` reports them, and every command that runs checks refuses to start over an error.
"""

import base64
import binascii
import itertools
import re
from collections.abc import Sequence
from typing import Any

import structlog
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

log = structlog.get_logger(__name__)
MIN_SECRET_CHARACTERS = 32
KEY_BYTES = 32
KEY_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)  # as node_bridge/src/store/keyring.js reads it
LEAST_KEPT_DAYS, MOST_KEPT_DAYS = 30, 36_500
_LEAST = {
    "API_REQUESTS_PER_MINUTE": 0,
    "PACE_MIN_DELAY_MS": 0,
    "COLD_MIN_DELAY_MS": 0,
    "STRANGERS_DAILY_LIMIT": 0,
    "IDENTICAL_LIMIT": 0,
    "RECIPIENT_GAP_S": 0,
    "TYPING_MS_PER_CHARACTER": 0,
    "TYPING_MAX_MS": 0,
    "WORKER_LEASE_MARGIN_S": 0,
    "WORKER_CAPACITY": 1,
    "SEND_ACK_TIMEOUT_S": 1,
    "LINK_WINDOW_S": 1,
}
_ORDER = (("PACE_MIN_DELAY_MS", "PACE_MAX_DELAY_MS"), ("COLD_MIN_DELAY_MS", "COLD_MAX_DELAY_MS"))


@register(Tags.security)
def secrets_are_set(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    named = [("WHATSAPP_SECRET", settings.WHATSAPP_SECRET, "W001"), ("SECRET_KEY", settings.SECRET_KEY, "W002")]
    found = [(f"{name} {problem}", mend(name), code) for name, value, code in named if (problem := weakness(value))]
    if settings.METRICS_TOKEN and (problem := weakness(settings.METRICS_TOKEN)):
        found.append((f"METRICS_TOKEN {problem}", f"{mend('METRICS_TOKEN')} Empty, /metrics does not exist.", "W006"))
    if settings.DEBUG:
        found.append(("DEBUG is on: error pages show settings and data.", "Unset DEBUG.", "W004"))
    if settings.REDIS_URL.startswith("rediss:") and "ssl_cert_reqs=" not in settings.REDIS_URL:  # Celery's default is "none"
        found.append(("REDIS_URL lets anybody answer as Redis.", "Add ?ssl_cert_reqs=required to it.", "W005"))
    wrong_ring = key_ring_is_set() if settings.WA_ENCRYPTION_KEYS else []
    return [*wrong_ring, *(_message(*each) for each in found)]


@register(Tags.security, deploy=True)
def key_ring_is_set(app_configs: Sequence[Any] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Only session workers need it: what serves the internet, and what calls restaurants' addresses, had better not know it."""
    problem = key_ring_problem(settings.WA_ENCRYPTION_KEYS)
    hint = 'Set it to "k1:" and the base64 of 32 random bytes.'
    return [_message(f"WA_ENCRYPTION_KEYS {problem}", hint, "W003")] if problem else []


@register()
def messages_are_kept_for_long_enough(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """Idempotency-Keys, webhooks' deliveries, a number's risk and restrictions look back for up to 30 days."""
    days = settings.MESSAGES_KEPT_DAYS
    if days == 0 or LEAST_KEPT_DAYS <= days <= MOST_KEPT_DAYS:
        return []
    text = f"MESSAGES_KEPT_DAYS is {days}: messages are kept for {LEAST_KEPT_DAYS} to {MOST_KEPT_DAYS:,} days, or for ever."
    return [Error(text, hint=f"Set it to {LEAST_KEPT_DAYS} or more, or to 0: nothing is forgotten.", id="restaurant_wa.E001")]


@register()
def numbers_make_sense(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    """With a pace or a lease that cannot be no session would send, and nothing say why."""
    is_ = {name: getattr(settings, name) for name in (*_LEAST, *itertools.chain(*_ORDER))}
    small = [f"{name} is {is_[name]}: at least {least}." for name, least in _LEAST.items() if is_[name] < least]
    crossed = [f"{low} is {is_[low]} and {high} only {is_[high]}." for low, high in _ORDER if is_[low] > is_[high]]
    if not 0 < settings.WORKER_HEARTBEAT_S < settings.WORKER_TTL_S - settings.WORKER_LEASE_MARGIN_S:
        crossed.append("A worker's lease (WORKER_TTL_S less WORKER_LEASE_MARGIN_S) ends before WORKER_HEARTBEAT_S renews it.")
    return [Error(text, hint="Change it, or unset it for the default.", id="restaurant_wa.E002") for text in (*small, *crossed)]


def weakness(secret: str) -> str:
    """What is wrong with a secret; empty when nothing is."""
    if not secret:
        return "is not set."
    if secret in settings.INSECURE_SECRETS or secret.startswith("insecure"):
        return "is a default that everybody knows."
    if len(secret) < MIN_SECRET_CHARACTERS:
        return f"is shorter than {MIN_SECRET_CHARACTERS} characters."
    if len(set(secret)) < 8:
        return "repeats too few characters."
    return ""


def key_ring_problem(ring: str) -> str:
    """What is wrong with `id:base64[,id:base64…]`; never tells the key."""
    if not ring:
        return "is not set: WhatsApp credentials cannot be stored."
    names = [entry.partition(":")[0].strip() for entry in ring.split(",")]
    if len(set(names)) != len(names):
        return "names a key twice."
    for name, entry in zip(names, ring.split(","), strict=True):
        if not KEY_NAME.fullmatch(name) or len(_decoded(entry.partition(":")[2].strip())) != KEY_BYTES:
            return f"has an entry ({name or 'without a name'}) that is not `id:base64 of {KEY_BYTES} bytes`."
    return ""


def mend(name: str) -> str:
    return f"Set {name} to a random text of its own: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _message(text: str, hint: str, code: str) -> CheckMessage:
    kind = Error if settings.ENVIRONMENT == "production" else Warning
    return kind(text, hint=hint, id=f"restaurant_wa.{code}")


def refuse_dangerous_production(**_: Any) -> None:
    """For programs that run no checks by themselves (web, workers, beat): end the process rather than serve like this."""
    _refuse([*secrets_are_set(None), *messages_are_kept_for_long_enough(None), *numbers_make_sense(None)])


def refuse_without_key_ring() -> None:
    """For session workers."""
    _refuse(key_ring_is_set())


def _refuse(found: Sequence[CheckMessage]) -> None:
    for message in found:
        log.warning("settings.dangerous", detail=message.msg, mend=message.hint, id=message.id)
    if any(message.is_serious() for message in found):
        raise SystemExit("error: refusing to start: " + " ".join(message.msg for message in found))
