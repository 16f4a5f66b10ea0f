from django.db import models

from sessions_app.models.base import UUIDModel


class Worker(UUIDModel):
    """A Celery worker process that leases sessions. It is alive while `expires_at` lies ahead on the database's clock."""

    name = models.CharField(max_length=120, unique=True)  # stable over restarts: a restarted worker finds its own sessions
    queue = models.CharField(max_length=140)  # the Celery queue only this worker reads: wake-ups
    hostname = models.CharField(max_length=255, blank=True)
    pid = models.PositiveIntegerField(null=True)
    capacity = models.PositiveIntegerField()  # sessions
    draining = models.BooleanField(default=False)
    bridge_ready = models.BooleanField(default=False)
    bridge_detail = models.CharField(max_length=500, blank=True)  # why the bridge is not ready, and what mends it
    started_at = models.DateTimeField()
    incarnation = models.BigIntegerField(default=0, db_default=0)  # counts the processes of this name: no clock tells them apart
    heartbeat_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "worker"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
