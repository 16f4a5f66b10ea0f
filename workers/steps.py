"""Bootsteps of a session worker: thin shells over `BridgeProcess` and `Runner`.

They sit on Celery's worker blueprint: a lost broker restarts the consumer's blueprint, and leases must not flap with it.
"""

import os
import signal
import socket
from pathlib import Path
from typing import Any

from celery import bootsteps
from celery.exceptions import ImproperlyConfigured
from celery.signals import worker_shutting_down
from django.conf import settings

from sessions_app.checks import refuse_without_key_ring
from workers import wakes
from workers.bridge_process import BridgeProcess
from workers.clocks import steady
from workers.config import from_settings
from workers.runner import Runner

STOP_WITHIN_S = 10.0  # both together
BRIDGE_STOP_S = 2.0  # of it at least, to close its sockets and flush its spool


def queue_of(nodename: str) -> str:
    """The queue that only this worker reads."""
    return f"worker.{nodename}"


class SessionStep(bootsteps.StartStopStep):
    """Active only with `--sessions`."""

    def __init__(self, worker: Any, sessions: bool = False, **options: Any) -> None:
        super().__init__(worker, **options)
        self.enabled = sessions

    def include_if(self, worker: Any) -> bool:
        return self.enabled


class BridgeStep(SessionStep):
    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        worker.bridge_process = None
        worker.stopping_since = 0.0

    def create(self, worker: Any) -> Any:
        _insist_on_threads(worker)
        refuse_without_key_ring()
        spool = Path(settings.DATA_DIR) / "spool" / worker.hostname
        worker.bridge_process = BridgeProcess(spool=spool)
        return worker.bridge_process

    def start(self, worker: Any) -> None:
        worker.bridge_process.start()

    def stop(self, worker: Any) -> None:
        if worker.bridge_process:
            left = STOP_WITHIN_S - (steady() - worker.stopping_since) if worker.stopping_since else STOP_WITHIN_S
            worker.bridge_process.stop(max(BRIDGE_STOP_S, left))

    def terminate(self, worker: Any) -> None:
        if worker.bridge_process:
            worker.bridge_process.kill()


class RunnerStep(SessionStep):
    requires = (BridgeStep,)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self.runner: Runner | None = None

    def create(self, worker: Any) -> Any:
        queue = queue_of(worker.hostname)
        queues = worker.app.amqp.queues
        queues.add(queue)
        queues.select([queue])
        config = from_settings(name=worker.hostname, queue=queue, hostname=socket.gethostname(), pid=os.getpid())
        self.runner = Runner(config=config, host=worker.bridge_process, on_end=_end_process)
        return self.runner

    def start(self, worker: Any) -> None:
        if self.runner:
            wakes.receiver = self.runner.wake
            worker_shutting_down.connect(self._begin_stop, weak=False, dispatch_uid="workers.steps")
            self.runner.start()

    def _begin_stop(self, **_: object) -> None:
        """Celery says this in the signal's handler. It stops its consumer first, which waits as long as Redis is silent."""
        if self.runner:
            self.runner.begin_stop()

    def stop(self, worker: Any) -> None:
        """Before the bridge's stop: sends under way need it."""
        wakes.receiver = None
        worker.stopping_since = steady()
        if self.runner:
            self.runner.stop(STOP_WITHIN_S - BRIDGE_STOP_S)

    def terminate(self, worker: Any) -> None:
        self.stop(worker)


def _insist_on_threads(worker: Any) -> None:
    pool = str(worker.pool_cls)
    if not any(name in pool for name in ("thread", "solo")):
        raise ImproperlyConfigured("a session worker runs its engine in a thread: start it with `--sessions -P threads`")


def _end_process() -> None:
    """A worker without its engine is of no use: end it in order, and let its supervisor start it anew."""
    os.kill(os.getpid(), signal.SIGTERM)
