"""Celery's consumer, patient with a broker that answers errors: a replica that takes no writes, a disk that is full.

Celery ends the worker on those, and its supervisor's next one would log all its numbers in only to end again. The sessions of a
worker need no broker: it goes on without, and asks again.
"""

import time
from typing import Any

from celery.worker import consumer
from kombu.exceptions import OperationalError

ASK_AGAIN_S = 1.0  # Celery itself waits only for a broker that cannot be reached


class Consumer(consumer.Consumer):
    connection_errors: tuple[type[Exception], ...]
    channel_errors: tuple[type[Exception], ...]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.connection_errors += (*self.channel_errors, OperationalError)  # what is answered to a PING comes as the latter

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        super().on_connection_error_before_connected(exc)
        time.sleep(ASK_AGAIN_S)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        super().on_connection_error_after_connected(exc)
        time.sleep(ASK_AGAIN_S)
