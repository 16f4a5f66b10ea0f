from django.db import models


class Sweep(models.Model):
    """When what passes by itself was last seen to, on the database's clock. A row each, written again and again."""

    name = models.CharField(max_length=40, primary_key=True)
    at = models.DateTimeField()

    class Meta:
        db_table = "sweep"

    def __str__(self) -> str:
        return self.name
