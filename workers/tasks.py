"""Celery carries hints and sweeps: nothing here is needed for a message to be sent, only for it to be sent promptly."""

import asyncio
from collections.abc import Callable
from functools import partial
from uuid import UUID

import structlog
from celery import shared_task
from django.conf import settings
from django.db import DatabaseError

from sessions_app.services import deliveries, forgetting, qr_files, sweeps, tallies, wakeups
from workers import wakes, webhooks
from workers.alive import AliveFile

log = structlog.get_logger(__name__)
_alive = AliveFile(settings.WORKER_ALIVE_FILE)
_FORGOTTEN = {
    "idempotency_records": sweeps.forget_idempotency_records,
    "workers": sweeps.forget_workers,
    "webhook_deliveries": deliveries.forget,
    "tallies": tallies.forget,
}


@shared_task(name="workers.wake", acks_late=False)
def wake(session_ids: list[str]) -> None:
    """On the owner's own queue: something may be left to do for these sessions."""
    wakes.deliver(UUID(one) for one in session_ids)


@shared_task(name="workers.wake_due")
def wake_due() -> None:
    """What was scheduled and has come due, and what a lost wake-up left behind."""
    due, overlooked = sweeps.release_scheduled(), sweeps.overlooked()
    if due or overlooked:
        wakeups.wake([*due, *overlooked])
        log.info("sweep.woken", scheduled_due=len(due), overlooked=len(overlooked))
    sweeps.note(sweeps.WAKE_DUE)
    _alive.touch()


@shared_task(name="workers.expire")
def expire() -> None:
    counts = {
        "messages": sweeps.expire_messages(),
        "left_behind": sweeps.cancel_left_behind(),
        "in_doubt": sweeps.doubt_left_behind(),
        "links": sweeps.expire_links(),
        "unconfirmed": sweeps.fail_unconfirmed(),
    }
    if any(counts.values()):
        log.info("sweep.expired", **counts)


@shared_task(name="workers.tidy")
def tidy() -> None:
    counts = {name: _forgotten(name, forget) for name, forget in _FORGOTTEN.items()}
    if any(counts.values()):
        log.info("sweep.tidied", **counts)


@shared_task(name="workers.forget")
def forget() -> None:
    """Only in the schedule with MESSAGES_KEPT_DAYS."""
    counts = {kind.name: _forgotten(kind.name, partial(forgetting.forget, kind)) for kind in forgetting.KINDS}
    if any(counts.values()):
        log.info("sweep.forgotten", **counts)


def _forgotten(name: str, forget: Callable[[], int]) -> int:
    """One that fails keeps none of the others from being done."""
    try:
        return forget()
    except DatabaseError:
        log.exception("sweep.failed", what=name)
        return 0


@shared_task(name="workers.deliver_webhooks")
def deliver_webhooks() -> None:
    """One at a time in the whole installation: addresses that are slow hold up one process at most."""
    if deliveries.waiting():
        with deliveries.alone() as mine:
            if mine:
                asyncio.run(webhooks.deliver())


@shared_task(name="workers.qr_files")
def refresh_qr_files() -> None:
    """Only in the schedule with QR_FILES."""
    written, removed = qr_files.refresh()
    if written or removed:
        log.info("qr_files.refreshed", written=written, removed=removed)
