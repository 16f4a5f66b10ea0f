"""The Celery app: `celery -A workers worker --sessions -P threads -c 2 -n sessions@%h` runs a session worker,
`celery -A workers worker` a default worker, `celery -A workers beat` the clock of the sweeps."""

import os
from typing import Any

import click
from celery import Celery, signals
from django.conf import settings

from workers import celery_wiring
from workers.alive import AliveFile

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "restaurant_wa.settings")

celery_wiring.connect()
app = Celery("workers", include=["workers.tasks"])
app.config_from_object("workers.celery_config")
app.set_default()  # for every thread, not only this one
app.user_options["worker"].add(
    click.Option(["--sessions"], is_flag=True, help="Own WhatsApp sessions: run a bridge, and read this worker's own queue.")
)
# By name: they import models, which wait until Django is set up.
app.steps["worker"].update({"workers.steps:BridgeStep", "workers.steps:RunnerStep"})


def _touch_as_beat(**_: Any) -> None:
    """Whenever the broker has taken what beat asks for."""
    alive = AliveFile(settings.WORKER_ALIVE_FILE)
    signals.after_task_publish.connect(lambda **_: alive.touch(), weak=False)


signals.beat_init.connect(_touch_as_beat, weak=False)
