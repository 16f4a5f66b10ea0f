from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0016_writes_by_number")]

    operations = [
        migrations.AddField(
            model_name="inboundmessage",
            name="edits",
            field=models.UUIDField(blank=True, null=True),
        ),
    ]
