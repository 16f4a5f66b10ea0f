"""A circuit breaker: after a failure nobody waits for a helper that is away, until a pause has passed."""

import threading
import time
from collections.abc import Callable


class Breaker:
    """Closed while all is well. A failure opens it for `pause_s`; then one caller tries, the others still pass by."""

    def __init__(self, *, pause_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_s, self._clock = pause_s, clock
        self._lock = threading.Lock()
        self._closed_again_at: float | None = None

    def allows(self) -> bool:
        with self._lock:
            if self._closed_again_at is None:
                return True
            if self._clock() < self._closed_again_at:
                return False
            self._closed_again_at = self._clock() + self._pause_s  # this caller tries; the rest wait another pause
            return True

    def succeeded(self) -> None:
        with self._lock:
            self._closed_again_at = None

    def failed(self) -> bool:
        """Opens it; True when it was closed before, which is the moment to log."""
        with self._lock:
            first = self._closed_again_at is None
            self._closed_again_at = self._clock() + self._pause_s
            return first


redis_breaker = Breaker(pause_s=5.0)  # shared by all who use Redis in a request: one of them pays, not each
