import uuid
from datetime import datetime

import uuid_utils
from django.db import models


def uuid7() -> uuid.UUID:
    """A time-ordered UUID (RFC 9562, version 7), so that new rows sit together in the index."""
    return uuid.UUID(int=uuid_utils.uuid7().int)


def first_uuid7(at: datetime) -> uuid.UUID:
    """The smallest UUIDv7 of that millisecond: 48 bits of it, then zeros. What was made before has a smaller one."""
    return uuid.UUID(int=max(0, int(at.timestamp() * 1000)) << 80)


class UUIDModel(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)

    class Meta:
        abstract = True
