from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0020_pages_of_what_no_phone_has")]

    operations = [
        migrations.AddField(
            model_name="message",
            name="held",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
