from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # an index is built beside the traffic, not inside a transaction

    dependencies = [("sessions_app", "0007_lanes_budgets_and_consent")]

    operations = [
        AddIndexConcurrently(
            model_name="message",
            index=models.Index(
                condition=models.Q(("status", "queued")), fields=["session", "lane", "priority", "seq"], name="message_lane"
            ),
        ),
        AddIndexConcurrently(
            model_name="message",
            index=models.Index(
                condition=models.Q(("lane__gt", 0), ("sent_at__isnull", False)),
                fields=["session", "sent_at"],
                name="message_strangers",
            ),
        ),
        RemoveIndexConcurrently(
            model_name="message",
            name="message_claim",
        ),
    ]
