from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0017_when_sweeps_were_last_made")]

    operations = [
        migrations.AddField(
            model_name="inboundmessage",
            name="edits",
            field=models.UUIDField(blank=True, null=True),
        ),
    ]
