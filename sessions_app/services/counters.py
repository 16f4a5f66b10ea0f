"""Counters in Redis: rate limits, refusals, failed sign-ins. Without Redis nothing is counted, and nobody waits for it."""

import hashlib
import time

import redis
import structlog
from django.conf import settings
from django.utils import timezone
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from sessions_app.services.breaker import redis_breaker

log = structlog.get_logger(__name__)

TIMEOUT_S = 0.4
MINUTE_S = 60
REFUSALS_KEPT_S = 8 * 24 * 3600
SIGN_INS_KEPT_S = 15 * 60  # from the first failure

_client = redis.Redis.from_url(
    settings.REDIS_URL, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0)
)


def requests_this_minute(key_id: str) -> tuple[int, int]:
    """How many requests this key has made in the present minute, this one included, and the seconds left of it.

    0 requests when Redis is away: then nobody is held back.
    """
    now = time.time()
    window = int(now // MINUTE_S)
    return _count(f"api:rate:{key_id}:{window}", keep_s=2 * MINUTE_S), MINUTE_S - int(now % MINUTE_S)


def count_refusal() -> int:
    """One more unauthorised request today (UTC); how many there have been, 0 when Redis is away."""
    return _count(f"api:refused:{timezone.now():%Y-%m-%d}", keep_s=REFUSALS_KEPT_S)


def count_failed_sign_in(user: str, address: str) -> int:
    """One more of this name from this address; how many there have been within SIGN_INS_KEPT_S, 0 when Redis is away."""
    return _count(_sign_ins(user, address), keep_s=SIGN_INS_KEPT_S)


def failed_sign_ins(user: str, address: str) -> int:
    if not redis_breaker.allows():
        return 0
    try:
        counted = _client.get(_sign_ins(user, address))
    except (RedisError, OSError):
        redis_breaker.failed()
        return 0
    redis_breaker.succeeded()
    return int(counted) if isinstance(counted, bytes) else 0


def redis_answers() -> bool:
    try:
        return bool(_client.ping())
    except (RedisError, OSError):
        return False


def _sign_ins(user: str, address: str) -> str:
    return "admin:failed:" + hashlib.sha256(f"{user}\n{address}".encode("utf-8", "surrogatepass")).hexdigest()


def _count(name: str, *, keep_s: int) -> int:
    if not redis_breaker.allows():
        return 0
    try:
        pipeline = _client.pipeline(transaction=False)
        pipeline.incr(name)
        pipeline.expire(name, keep_s, nx=True)
        counted, _ = pipeline.execute()
    except (RedisError, OSError) as error:
        if redis_breaker.failed():
            log.warning("counters.redis_away", error=type(error).__name__)
        return 0
    redis_breaker.succeeded()
    return int(counted)
