from django.urls.converters import UUIDConverter


class IdConverter(UUIDConverter):
    """An id in an address may be in capitals, as in a body: some libraries write them so. Django's `uuid` may not."""

    regex = f"(?i:{UUIDConverter.regex})"
