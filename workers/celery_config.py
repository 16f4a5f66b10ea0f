"""Celery's settings. Read `docs/decisions.md` before you change one: several were measured around crashes."""

from pathlib import Path

from django.conf import settings

broker_url = settings.REDIS_URL
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # for ever: the engine needs no broker, and Celery would end the worker after 100
broker_connection_timeout = 5
worker_consumer = "workers.consumer:Consumer"
broker_transport_options = {
    "visibility_timeout": 3_600,
    "max_connections": 200,
    "socket_connect_timeout": 5,
    "socket_timeout": 30,
    "socket_keepalive": True,
    "health_check_interval": 25,
}
# No results, no events: what matters is in PostgreSQL.
task_ignore_result = True
worker_send_task_events = False
task_send_sent_event = False
enable_utc = True
timezone = "UTC"

task_default_queue = "default"
worker_prefetch_multiplier = 1
task_acks_late = True
task_reject_on_worker_lost = True
task_time_limit = 120
task_soft_time_limit = 100
worker_soft_shutdown_timeout = 10
worker_cancel_long_running_tasks_on_connection_loss = True
worker_enable_remote_control = True

beat_schedule_filename = str(Path(settings.DATA_DIR) / "celerybeat-schedule")
beat_schedule = {
    # `expires` keeps what piled up while no default worker ran from being done. It is a time by the clock of beat's machine:
    # clocks that differ by seconds must not end what they are for.
    "wake-due": {"task": "workers.wake_due", "schedule": 2.0, "options": {"expires": 30}},
    "expire": {"task": "workers.expire", "schedule": 5.0, "options": {"expires": 30}},
    "deliver-webhooks": {"task": "workers.deliver_webhooks", "schedule": 1.0, "options": {"expires": 30}},
    "tidy": {"task": "workers.tidy", "schedule": 300.0, "options": {"expires": 300}},
}
if settings.MESSAGES_KEPT_DAYS:
    beat_schedule["forget"] = {"task": "workers.forget", "schedule": 60.0, "options": {"expires": 60}}
if settings.QR_FILES:
    beat_schedule["qr-files"] = {"task": "workers.qr_files", "schedule": 2.0, "options": {"expires": 30}}
