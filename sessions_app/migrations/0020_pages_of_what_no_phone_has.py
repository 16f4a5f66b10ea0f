from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # an index is built beside the traffic, not inside a transaction

    dependencies = [("sessions_app", "0019_vacuum_by_the_percent")]

    operations = [
        # It waits for all transactions that are older; given up, it would leave an invalid index behind.
        migrations.RunSQL("SET lock_timeout = 0", "RESET lock_timeout"),
        AddIndexConcurrently(
            model_name="message",
            index=models.Index(condition=models.Q(("status", "sent")), fields=["restaurant", "-seq"], name="message_undelivered"),
        ),
        migrations.RunSQL("RESET lock_timeout", "SET lock_timeout = 0"),
    ]
