"""What Celery's processes have in common: they log as the web does, a task's lines carry its name and id, and none of them starts
in production with dangerous settings."""

import logging.config
from typing import Any

import structlog
from celery import signals
from django.conf import settings

from sessions_app.checks import refuse_dangerous_production


def connect() -> None:
    """Called once by the Celery app's module. Weak references would let the handlers go."""
    signals.setup_logging.connect(_keep_ours, weak=False)
    signals.task_prerun.connect(_bind, weak=False)
    signals.task_postrun.connect(_unbind, weak=False)
    signals.worker_init.connect(refuse_dangerous_production, weak=False)
    signals.beat_init.connect(refuse_dangerous_production, weak=False)


def _keep_ours(**_: Any) -> None:
    """A handler of this signal keeps Celery from replacing the root logger's handlers; Django may not be set up yet."""
    logging.config.dictConfig(settings.LOGGING)


def _bind(task_id: str, task: Any, **_: Any) -> None:
    structlog.contextvars.bind_contextvars(task=task.name, task_id=task_id)


def _unbind(**_: Any) -> None:
    structlog.contextvars.unbind_contextvars("task", "task_id")
