from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0012_the_number_a_history_is_about")]

    operations = [
        migrations.AddField(
            model_name="contact",
            name="address",
            field=models.CharField(blank=True, db_default="", default="", max_length=80),
        ),
    ]
