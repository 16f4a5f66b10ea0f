from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sessions_app", "0016_writes_by_number")]

    operations = [
        migrations.CreateModel(
            name="Sweep",
            fields=[
                ("name", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("at", models.DateTimeField()),
            ],
            options={"db_table": "sweep"},
        ),
    ]
