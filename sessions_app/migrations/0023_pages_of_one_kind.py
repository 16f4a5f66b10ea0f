from django.contrib.postgres.operations import AddIndexConcurrently, RemoveIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # an index is built beside the traffic, not inside a transaction

    dependencies = [("sessions_app", "0022_lines_without_what_is_held")]

    operations = [
        # It waits for all transactions that are older; given up, it would leave an invalid index behind.
        migrations.RunSQL("SET lock_timeout = 0", "RESET lock_timeout"),
        AddIndexConcurrently(
            model_name="message",
            index=models.Index(
                condition=models.Q(("status__in", ["canceled", "delivered", "expired", "failed", "read", "sent", "suppressed"])),
                fields=["restaurant", "status", "-seq"],
                name="message_page_of_status",
            ),
        ),
        RemoveIndexConcurrently(model_name="message", name="message_ended_unsent"),
        RemoveIndexConcurrently(model_name="message", name="message_undelivered"),
        AddIndexConcurrently(
            model_name="inboundmessage",
            index=models.Index(fields=["session", "-id"], name="inbound_page_of_session"),
        ),
        RemoveIndexConcurrently(model_name="inboundmessage", name="inbound_recent"),
        AddIndexConcurrently(
            model_name="webhookdelivery",
            index=models.Index(
                condition=models.Q(("state", "failed")), fields=["webhook", "-id"], name="webhook_delivery_failed"
            ),
        ),
        migrations.AlterModelOptions(name="inboundmessage", options={"ordering": ["-id"]}),
        migrations.RunSQL("RESET lock_timeout", "SET lock_timeout = 0"),
    ]
