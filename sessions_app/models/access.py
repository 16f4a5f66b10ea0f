from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from sessions_app.models.base import UUIDModel
from sessions_app.models.restaurants import Restaurant


class Membership(UUIDModel):
    """A person of the admin and what they may do in one restaurant; superusers need none."""

    class Role(models.TextChoices):
        MANAGER = "manager", "Manager: links numbers, sends, sees messages, makes API keys"
        VIEWER = "viewer", "Viewer: sees everything, changes nothing"

    restaurant = models.ForeignKey(Restaurant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships", db_index=False)
    role = models.CharField(max_length=16, choices=Role, default=Role.MANAGER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "membership"
        constraints = [models.UniqueConstraint(fields=["user", "restaurant"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.user} at {self.restaurant}"


class ApiKey(UUIDModel):
    """A restaurant's key for the API. Only its hash is kept; the key itself is shown once, when it is made."""

    class Scope(models.TextChoices):
        MESSAGES_WRITE = "messages:write", "Send and cancel messages"
        MESSAGES_READ = "messages:read", "Read messages"
        SESSIONS_WRITE = "sessions:write", "Link, restart, log out and delete sessions"
        SESSIONS_READ = "sessions:read", "Read sessions"
        WEBHOOKS_WRITE = "webhooks:write", "Add, change and delete webhooks"
        WEBHOOKS_READ = "webhooks:read", "Read webhooks and what they were told"

    restaurant = models.ForeignKey(Restaurant, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.BinaryField(max_length=32, editable=False)  # SHA-256 of the whole key, which has 256 random bits
    scopes = ArrayField(models.CharField(max_length=32, choices=Scope), default=list)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "api_key"
        verbose_name = "API key"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
