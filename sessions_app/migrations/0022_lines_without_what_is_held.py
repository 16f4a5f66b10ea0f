from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # an index is built beside the traffic, not inside a transaction

    dependencies = [("sessions_app", "0021_held_messages")]

    operations = [
        # It waits for all transactions that are older; given up, it would leave an invalid index behind.
        migrations.RunSQL("SET lock_timeout = 0", "RESET lock_timeout"),
        AddIndexConcurrently(
            model_name="message",
            index=models.Index(
                condition=models.Q(("status", "queued")),
                fields=["session", "held", "lane", "priority", "seq"],
                name="message_line",
            ),
        ),
        AddIndexConcurrently(
            model_name="message",
            index=models.Index(
                condition=models.Q(("held", True), ("status", "queued")), fields=["session", "not_before"], name="message_held"
            ),
        ),
        RemoveIndexConcurrently(model_name="message", name="message_lane"),
        migrations.RunSQL("RESET lock_timeout", "SET lock_timeout = 0"),
    ]
