from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # an index is built beside the traffic, not inside a transaction

    dependencies = [("sessions_app", "0013_whom_a_send_reached")]

    operations = [
        # It waits for all transactions that are older; given up, it would leave an invalid index behind.
        migrations.RunSQL("SET lock_timeout = 0", "RESET lock_timeout"),
        AddIndexConcurrently(
            model_name="contact",
            index=models.Index(
                condition=models.Q(("address", ""), _negated=True), fields=["session", "address"], name="contact_address"
            ),
        ),
        AddIndexConcurrently(
            model_name="message",
            index=models.Index(condition=models.Q(("status", "scheduled")), fields=["not_before"], name="message_scheduled"),
        ),
        AddIndexConcurrently(
            model_name="message",
            index=models.Index(
                condition=models.Q(("status__in", ["canceled", "expired", "failed", "suppressed"])),
                fields=["restaurant", "status", "-seq"],
                name="message_ended_unsent",
            ),
        ),
        AddIndexConcurrently(
            model_name="sendtally",
            index=models.Index(fields=["quarter"], name="send_tally_age"),
        ),
        migrations.RunSQL("RESET lock_timeout", "SET lock_timeout = 0"),
    ]
