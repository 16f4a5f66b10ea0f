"""How much waits in the whole installation, counted without looking at what is done."""

import pytest
from django.db import connection

from sessions_app.models import Message, Restaurant, Session, WebhookDelivery
from sessions_app.services import backlog, webhooks
from tests.support.claiming import explained, know_many, pile_up, rows_read
from tests.support.owning import ago, queued


def deliver(restaurant: Restaurant, count: int, **columns: str) -> None:
    """Very many deliveries of a webhook, made by the database; `columns`: SQL."""
    webhook = webhooks.create(restaurant=restaurant, url=f"https://till.example/{count}-{len(columns)}")
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO webhook_delivery (webhook_id, topic, {', '.join(columns)})"
            f" SELECT %s, 'webhook.test', {', '.join(columns.values())} FROM generate_series(1, %s)",
            [webhook.pk, count],
        )


def test_nothing_waits(db: None) -> None:
    nothing = dict.fromkeys(Message.Lane, 0)
    assert backlog.read() == backlog.Backlog(nothing, 0, backlog.UnderWay(0, 0), 0, backlog.Deliveries(0, 0))


def test_it_counts_what_waits_and_for_how_long(session: Session, restaurant: Restaurant) -> None:
    for lane, count in ((Message.Lane.WARM, 3), (Message.Lane.NEW, 2)):
        for _ in range(count):
            queued(session, lane=lane, not_before=ago(minutes=-5))
    for status in ("scheduled", "sending", "uncertain", "uncertain", "sent", "read", "failed"):
        queued(session, status=status, not_before=ago(hours=-1))
    deliver(restaurant, 2, created_at="now() - interval '3 minutes'")
    WebhookDelivery.objects.filter(pk=WebhookDelivery.objects.earliest("pk").pk).update(state="delivered")
    found = backlog.read()
    assert [found.queued[lane] for lane in Message.Lane] == [3, 0, 2]
    assert (found.scheduled, found.under_way) == (1, backlog.UnderWay(sending=1, uncertain=2))
    assert found.oldest_due_s == 0, "nothing is due yet"
    assert found.deliveries.waiting == 1 and 180 <= found.deliveries.oldest_s < 190


@pytest.mark.parametrize("status", ["queued", "scheduled"])
def test_the_oldest_that_is_due_is_told_whoever_is_late_with_it(session: Session, status: str) -> None:
    queued(session, status=status, not_before=ago(minutes=10))
    queued(session, not_before=ago(minutes=2))
    queued(session, status="sent", not_before=ago(hours=2))
    assert 600 <= backlog.oldest_due_s() < 610


def test_it_reads_what_waits_and_nothing_of_what_is_done(session: Session, restaurant: Restaurant) -> None:
    pile_up(session, 30_000, status="'read'", sent_at="now()", wa_id="'DONE' || n")
    pile_up(session, 900, lane="mod(n, 3)", not_before="now() - interval '1 minute'")
    pile_up(session, 60, status="'scheduled'", not_before="now() + interval '1 hour'", wa_id="'LATER' || n")
    pile_up(session, 9, status="'sending'", wa_id="'NOW' || n")
    deliver(restaurant, 30_000, state="'delivered'", finished_at="now()")
    deliver(restaurant, 90, state="'pending'")
    know_many(session, 1)
    for read, waiting in ((backlog.queued, 900), (backlog.scheduled, 60), (backlog.under_way, 9), (backlog.oldest_due_s, 1)):
        assert 0 < rows_read(explained(read), "message") <= waiting, read
    assert 0 < rows_read(explained(backlog.deliveries, "webhook_delivery"), "webhook_delivery") <= 90
