from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sessions_app", "0011_indexes_that_others_cover"),
    ]

    operations = [
        migrations.AddField(
            model_name="session",
            name="history_phone",
            field=models.CharField(blank=True, db_default="", max_length=16),
        ),
        migrations.AddField(
            model_name="session",
            name="history_since",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.RunSQL(
            "UPDATE wa_session SET history_phone = phone WHERE phone <> '' AND first_linked_at IS NOT NULL",
            migrations.RunSQL.noop,
        ),
    ]
