"""One JSON line for each log entry, of Django, Celery, libraries and our own code alike, on standard error.

Our code logs through `structlog.get_logger(__name__)` with fields: `restaurant`, `session`, `message` are ids. A request binds
`request_id`, a Celery task `task` and `task_id`. Nothing secret and no whole phone number gets out: see `scrubbing`.
"""

import logging
from typing import Any
from uuid import UUID

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from restaurant_wa.scrubbing import scrub, scrub_text

QUIET = ("urllib3", "asyncio", "celery.worker.strategy", "celery.app.trace", "celery.beat", "amqp", "kombu")


def scrubbed(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    told = event.pop("exception", None)  # a traceback holds no names to go by
    hidden: EventDict = scrub(event)
    if told is not None:
        hidden["exception"] = scrub_text(told) if isinstance(told, str) else told
    return hidden


def _ids_as_text(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    return {name: str(value) if isinstance(value, UUID) else value for name, value in event.items()}


SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.StackInfoRenderer(),
]
RENDERING: list[Processor] = [
    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
    structlog.processors.format_exc_info,
    _ids_as_text,
    scrubbed,
    structlog.processors.JSONRenderer(ensure_ascii=False, default=repr),
]


def formatter() -> structlog.stdlib.ProcessorFormatter:
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=SHARED, processors=RENDERING)


def configuration(level: str) -> dict[str, Any]:
    """For `logging.config.dictConfig`; Django applies it, and Celery leaves it in place."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": formatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            **{name: {"level": "WARNING"} for name in QUIET},
            "django.server": {"handlers": [], "level": "INFO", "propagate": True},
            "django.request": {"level": "ERROR"},  # 4xx are told by the access log
        },
    }


def configure(level: str) -> None:
    """structlog's half: entries go through the standard library, so that one handler writes all of them. What is below the level
    costs a call and nothing else: there is a line for each message."""
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        cache_logger_on_first_use=True,
    )
    logging.captureWarnings(True)
