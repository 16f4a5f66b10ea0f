from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0015_moves_that_are_no_news")]

    operations = [
        migrations.AddField(
            model_name="bridgecreds",
            name="written",
            field=models.BigIntegerField(db_default=0),
        ),
        migrations.AddField(
            model_name="bridgesentmessage",
            name="written",
            field=models.BigIntegerField(db_default=0),
        ),
    ]
