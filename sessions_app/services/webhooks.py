"""What people and programs do with webhooks: add, change, try and delete one, renew its secret. `deliveries` does the rest."""

import base64
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from sessions_app.errors import Conflict, DomainError, NotFound
from sessions_app.models import Restaurant, Webhook, WebhookDelivery
from sessions_app.policy import addresses
from sessions_app.policy.webhooks import LEASE, SECRET_BYTES, SECRET_PREFIX

MOST = 20  # of one restaurant
SECRETS_OVERLAP = timedelta(hours=24)
OLD_SECRETS = 10  # that sign at once, however often somebody renews
GOES_FIRST = timedelta(days=365)
BATCH = 10_000
CHOOSABLE = tuple(topic for topic in Webhook.Topic.values if topic != Webhook.Topic.TEST)


_GONE = "This restaurant has no such webhook."
_KNOWN = (
    "The webhook {0} tells this address the same already. If its secret was lost, POST /webhooks/{0}/secret makes a new one,"
    " and so does the button on its page in the admin."
)


class InvalidUrl(DomainError):
    """This is no address for a webhook."""

    code = "invalid_url"


class InvalidTopic(DomainError):
    """There is no such topic."""

    code = "invalid_topic"


def create(*, restaurant: Restaurant, url: str, topics: Sequence[str] = ()) -> Webhook:
    """It is told everything from now on; without `topics` of every kind. Its secret stands in the row that is returned.

    Raises InvalidUrl, InvalidTopic, and Conflict beyond MOST and for an address that is told the same already: whoever asks again
    after an answer that was lost would be told everything twice.
    """
    address, chosen = checked_url(url), _topics(topics)
    with transaction.atomic():
        theirs = _alone_with(restaurant.pk)
        _refuse_second(theirs, address, chosen)
        if theirs.count() >= MOST:
            raise Conflict(f"A restaurant has at most {MOST} webhooks.")
        return Webhook.objects.create(restaurant=restaurant, url=address, topics=chosen, secret=_new_secret())


def get(*, restaurant: Restaurant, webhook_id: UUID) -> Webhook:
    """Raises NotFound for an unknown and for another restaurant's webhook alike."""
    for webhook in Webhook.objects.filter(restaurant=restaurant, pk=webhook_id).order_by():
        return webhook
    raise NotFound(_GONE)


def change(
    *, webhook: Webhook, url: str | None = None, topics: Sequence[str] | None = None, is_active: bool | None = None
) -> Webhook:
    """What is None stays. A new address, and one that is switched on again, is tried at once, with all that waits for it. Raises
    InvalidUrl, InvalidTopic, and Conflict where it would tell an address what another webhook tells it."""
    address = None if url is None else checked_url(url)
    chosen = None if topics is None else _topics(topics)
    with transaction.atomic():
        theirs = _alone_with(webhook.restaurant_id)
        stored = theirs.select_for_update(no_key=True).filter(pk=webhook.pk).first()
        if stored is None:
            raise NotFound(_GONE)
        values = _changes(stored, address, chosen, is_active)
        if values.get("is_active", stored.is_active):
            others = theirs.exclude(pk=webhook.pk)
            _refuse_second(others, values.get("url", stored.url), values.get("topics", stored.topics))
        theirs.filter(pk=webhook.pk).update(**values, updated_at=Now())
        if values.keys() >= _UNTRIED.keys():
            _hurry(webhook)
    webhook.refresh_from_db()
    return webhook


def _changes(stored: Webhook, address: str | None, topics: list[str] | None, is_active: bool | None) -> dict[str, Any]:
    """The columns that get another value."""
    values: dict[str, Any] = {}
    if address is not None and address != stored.url:
        values |= {"url": address, **_UNTRIED}
    if topics is not None:
        values["topics"] = topics
    if is_active is not None and is_active != stored.is_active:
        values |= {"is_active": is_active, "inactive_reason": "", **(_UNTRIED if is_active else {})}
    return values


_UNTRIED = {"failures": 0, "failing_since": None, "last_error": "", "retry_at": Now()}


def _alone_with(restaurant: UUID) -> QuerySet[Webhook]:
    """Its webhooks, while nobody else adds or changes one: two at once would both find no other that tells the same."""
    Restaurant.objects.select_for_update(no_key=True).get(pk=restaurant)
    return Webhook.objects.filter(restaurant=restaurant)


def _refuse_second(others: QuerySet[Webhook], address: str, topics: Sequence[str]) -> None:
    for known in others.filter(url=address, topics__contains=topics, topics__contained_by=topics, is_active=True):
        raise Conflict(_KNOWN.format(known.pk))


def _hurry(webhook: Webhook) -> None:
    """What has failed there goes now, not hours later."""
    failed = WebhookDelivery.objects.filter(webhook=webhook, state=WebhookDelivery.Outcome.PENDING, attempts__gt=0)
    # What is under way lies within the lease, and stays: it would be told twice, and `deliveries.settle`, which locks it before
    # the webhook, would wait for this one while this one waits for it.
    failed.filter(next_attempt_at__gt=Now() + LEASE).update(next_attempt_at=Now())


def renew_secret(*, webhook: Webhook) -> Webhook:
    """For a day each old secret signs as well, so that the other side can change over without losing a call."""
    with transaction.atomic():
        row = Webhook.objects.select_for_update(no_key=True).filter(pk=webhook.pk).first()
        if row is None:
            raise NotFound(_GONE)
        now = timezone.now()
        old = [*row.old_secrets, {"secret": row.secret, "until": (now + SECRETS_OVERLAP).isoformat()}]
        row.old_secrets = [one for one in old if _signs(one, now)][-OLD_SECRETS:]
        row.secret = _new_secret()
        row.save(update_fields=["secret", "old_secrets", "updated_at"])
    webhook.refresh_from_db()
    return webhook


def secrets_of(webhook: Webhook) -> list[str]:
    """Those that sign now, the newest first."""
    now = timezone.now()
    return [webhook.secret, *(one["secret"] for one in reversed(webhook.old_secrets) if _signs(one, now))]


def _signs(old: Mapping[str, str], now: datetime) -> bool:
    return datetime.fromisoformat(old["until"]) > now


def try_out(*, webhook: Webhook) -> WebhookDelivery:
    """Sends an event of its own kind, before all that waits. Raises Conflict while it is switched off."""
    if not webhook.is_active:
        raise Conflict("This webhook is switched off.")
    Webhook.objects.filter(pk=webhook.pk).update(retry_at=Now())
    first = timezone.now() - GOES_FIRST
    return WebhookDelivery.objects.create(webhook=webhook, topic=Webhook.Topic.TEST, next_attempt_at=first)


def delete(*, webhook: Webhook) -> None:
    """With all that it was told, and was still to be told. That may be much, so it goes first, and holds up nobody."""
    Webhook.objects.filter(pk=webhook.pk).update(is_active=False)
    theirs = WebhookDelivery.objects.filter(webhook=webhook)
    while WebhookDelivery.objects.filter(pk__in=theirs.values("pk")[:BATCH]).delete()[0]:
        pass
    with transaction.atomic():
        Webhook.objects.select_for_update().filter(pk=webhook.pk).first()
        Webhook.objects.filter(pk=webhook.pk).delete()


def _new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def checked_url(url: str) -> str:
    """As it is kept. Raises InvalidUrl."""
    url = addresses.as_called(url.strip())
    if why := addresses.refusal(url, private=settings.WEBHOOK_PRIVATE_ADDRESSES):
        raise InvalidUrl(why)
    return url


def _topics(topics: Sequence[str]) -> list[str]:
    unknown = [topic for topic in topics if topic not in CHOOSABLE]
    if unknown:
        raise InvalidTopic(f"There is no topic {unknown[0]}; there are {', '.join(CHOOSABLE)}.")
    return list(dict.fromkeys(topics))
