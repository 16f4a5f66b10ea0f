"""What people and programs do with webhooks: add, change, try and delete one, renew its secret. `deliveries` does the rest."""

import base64
import secrets
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from sessions_app.errors import Conflict, DomainError, NotFound
from sessions_app.models import Restaurant, Webhook, WebhookDelivery
from sessions_app.policy import addresses
from sessions_app.policy.webhooks import SECRET_BYTES, SECRET_PREFIX

MOST = 20  # of one restaurant
SECRETS_OVERLAP = timedelta(hours=24)
CHOOSABLE = tuple(topic for topic in Webhook.Topic.values if topic != Webhook.Topic.TEST)


class InvalidUrl(DomainError):
    """This is no address for a webhook."""

    code = "invalid_url"


class InvalidTopic(DomainError):
    """There is no such topic."""

    code = "invalid_topic"


def create(*, restaurant: Restaurant, url: str, topics: Sequence[str] = ()) -> Webhook:
    """It is told everything from now on; without `topics` of every kind. Its secret stands in the row that is returned.

    Raises InvalidUrl, InvalidTopic, and Conflict beyond MOST.
    """
    address, chosen = checked_url(url), _topics(topics)
    with transaction.atomic():
        Restaurant.objects.select_for_update(no_key=True).get(pk=restaurant.pk)
        if Webhook.objects.filter(restaurant=restaurant).count() >= MOST:
            raise Conflict(f"A restaurant has at most {MOST} webhooks.")
        return Webhook.objects.create(restaurant=restaurant, url=address, topics=chosen, secret=_new_secret())


def get(*, restaurant: Restaurant, webhook_id: UUID) -> Webhook:
    """Raises NotFound for an unknown and for another restaurant's webhook alike."""
    for webhook in Webhook.objects.filter(restaurant=restaurant, pk=webhook_id).order_by():
        return webhook
    raise NotFound("This restaurant has no such webhook.")


def change(
    *, webhook: Webhook, url: str | None = None, topics: Sequence[str] | None = None, is_active: bool | None = None
) -> Webhook:
    """What is None stays. A new address, and one that is switched on again, is tried at once. Raises InvalidUrl, InvalidTopic."""
    values: dict[str, object] = {}
    if url is not None and (address := checked_url(url)) != webhook.url:
        values |= {"url": address, **_UNTRIED}
    if topics is not None:
        values["topics"] = _topics(topics)
    if is_active is not None and is_active != webhook.is_active:
        values |= {"is_active": is_active, "inactive_reason": "", **(_UNTRIED if is_active else {})}
    Webhook.objects.filter(pk=webhook.pk).update(**values, updated_at=Now())
    webhook.refresh_from_db()
    return webhook


_UNTRIED = {"failures": 0, "failing_since": None, "last_error": "", "retry_at": Now()}


def renew_secret(*, webhook: Webhook) -> Webhook:
    """For a day the old secret signs as well, so that the other side can change over without losing a call."""
    with transaction.atomic():
        row = Webhook.objects.select_for_update().get(pk=webhook.pk)
        row.previous_secret, row.previous_secret_until = row.secret, timezone.now() + SECRETS_OVERLAP
        row.secret = _new_secret()
        row.save(update_fields=["secret", "previous_secret", "previous_secret_until", "updated_at"])
    webhook.refresh_from_db()
    return webhook


def try_out(*, webhook: Webhook) -> WebhookDelivery:
    """Sends an event of its own kind, soon. Raises Conflict while it is switched off."""
    if not webhook.is_active:
        raise Conflict("This webhook is switched off.")
    Webhook.objects.filter(pk=webhook.pk).update(retry_at=Now())
    return WebhookDelivery.objects.create(webhook=webhook, topic=Webhook.Topic.TEST)


def repeat(*, delivery: WebhookDelivery) -> WebhookDelivery:
    """Once more from the beginning, under the same id. Raises Conflict while it still waits."""
    again = WebhookDelivery.objects.filter(pk=delivery.pk).exclude(state=WebhookDelivery.State.PENDING)
    if not again.update(state=WebhookDelivery.State.PENDING, attempts=0, next_attempt_at=Now(), finished_at=None, error=""):
        raise Conflict("This delivery is still waiting for its next attempt.")
    delivery.refresh_from_db()
    return delivery


def delete(*, webhook: Webhook) -> None:
    """With all that it was told, and was still to be told. That may be much, so it goes first, and holds up nobody."""
    change(webhook=webhook, is_active=False)
    WebhookDelivery.objects.filter(webhook=webhook).delete()
    with transaction.atomic():
        Webhook.objects.select_for_update().filter(pk=webhook.pk).first()
        Webhook.objects.filter(pk=webhook.pk).delete()


def _new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def checked_url(url: str) -> str:
    """As it is kept. Raises InvalidUrl."""
    url = url.strip()
    if why := addresses.refusal(url, private=settings.WEBHOOK_PRIVATE_ADDRESSES):
        raise InvalidUrl(why)
    return url


def _topics(topics: Sequence[str]) -> list[str]:
    unknown = [topic for topic in topics if topic not in CHOOSABLE]
    if unknown:
        raise InvalidTopic(f"There is no topic {unknown[0]}; there are {', '.join(CHOOSABLE)}.")
    return list(dict.fromkeys(topics))
