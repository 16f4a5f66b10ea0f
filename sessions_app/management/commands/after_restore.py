"""`manage.py after_restore`: what is still to be done when the database holds an earlier state, before a worker is started."""

from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction
from django.db.models.functions import Now

from sessions_app.models import Worker


class Command(BaseCommand):
    help = (
        "Forget the encryption sessions with customers' phones after an earlier state of the database was restored: a phone "
        "drops a message under a key that was used since, and nobody is told. The next message to each customer makes a new one. "
        "Stop all workers first."
    )

    def handle(self, **_: object) -> None:
        if alive := list(Worker.objects.filter(expires_at__gt=Now()).values_list("name", flat=True)):
            raise CommandError(f"Stop all workers first. These are running: {', '.join(alive)}.")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")  # one row for each customer's device
            cursor.execute("DELETE FROM bridge_key WHERE kind = 'session'")
            self.stdout.write(f"{cursor.rowcount} encryption sessions are forgotten. Workers may be started.")
