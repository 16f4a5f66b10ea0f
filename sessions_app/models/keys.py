"""WhatsApp credentials, Signal keys and sent messages: written by the bridge alone. The application reads
under which key a value lies (`encryption_keys`), never the value.

Every `data` is AES-256-GCM: one version byte (1), the key id's length and the key id, a 12-byte nonce, the ciphertext and a
16-byte tag; the associated data is `session/kind/name`, so that a value moved to another row does not open. `fence` is the
highest session term that ever opened the session here, `written` the number of the last write: a write under a lower term, or
with a lower number, changes nothing.
"""

from django.db import models

from sessions_app.models.sessions import Session


class BridgeCreds(models.Model):
    session = models.OneToOneField(Session, primary_key=True, on_delete=models.CASCADE, related_name="+")
    fence = models.BigIntegerField()
    written = models.BigIntegerField(db_default=0)
    data = models.BinaryField(null=True)  # null: opened, but never linked
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "bridge_creds"


class BridgeKey(models.Model):
    pk = models.CompositePrimaryKey("session", "kind", "name")
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="+", db_index=False)
    kind = models.CharField(max_length=40)
    name = models.CharField(max_length=200)
    data = models.BinaryField()

    class Meta:
        db_table = "bridge_key"


class BridgeSentMessage(models.Model):
    """A message encoded once, stored before it touches the wire; a resend and a retry receipt take it from here."""

    pk = models.CompositePrimaryKey("session", "wa_id")
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="+", db_index=False)
    wa_id = models.CharField(max_length=64)
    address = models.CharField(max_length=80)
    data = models.BinaryField()
    written = models.BigIntegerField(db_default=0)  # the number of the write that stored it: the clock may be set back
    created_at = models.DateTimeField()

    class Meta:
        db_table = "bridge_sent"
        indexes = [models.Index(fields=["created_at"], name="bridge_sent_age")]
