"""Celery carries hints and sweeps: nothing here is needed for a message to be sent, only for it to be sent promptly."""

from uuid import UUID

import structlog
from celery import shared_task

from sessions_app.services import sweeps, wakeups
from workers import wakes

log = structlog.get_logger(__name__)


@shared_task(name="workers.wake", acks_late=False)
def wake(session_ids: list[str]) -> None:
    """On the owner's own queue: something may be left to do for these sessions."""
    wakes.deliver(UUID(one) for one in session_ids)


@shared_task(name="workers.wake_due")
def wake_due() -> None:
    """What was scheduled and has come due, and what a lost wake-up left behind."""
    due = sweeps.release_scheduled()
    if due:
        wakeups.wake(due)
        log.info("sweep.scheduled_due", sessions=len(due))


@shared_task(name="workers.expire")
def expire() -> None:
    counts = {
        "messages": sweeps.expire_messages(),
        "links": sweeps.expire_links(),
        "unconfirmed": sweeps.fail_unconfirmed(),
    }
    if any(counts.values()):
        log.info("sweep.expired", **counts)


@shared_task(name="workers.tidy")
def tidy() -> None:
    counts = {"idempotency_records": sweeps.forget_idempotency_records(), "workers": sweeps.forget_workers()}
    if any(counts.values()):
        log.info("sweep.tidied", **counts)
