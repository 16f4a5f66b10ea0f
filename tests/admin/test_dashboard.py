"""The first page: who needs somebody, and honest figures."""

from datetime import timedelta

from django.test import Client
from django.utils import timezone

from sessions_app.models import Message, Sweep, Webhook, Worker
from sessions_app.services import messages, sweeps
from tests.admin.conftest import House, be


def context(client: Client) -> dict[str, object]:
    answer = client.get("/admin/")
    assert answer.status_code == 200
    return {
        key: answer.context[key]
        for key in ("troubled", "troubled_count", "states", "today", "oldest", "workers_ready", "session_total")
    }


def test_a_member_sees_figures_of_their_restaurants_only(manager: Client, ours: House, theirs: House) -> None:
    be(theirs.session, state="logged_out")
    shown = context(manager)
    assert (shown["troubled_count"], shown["session_total"]) == (0, 1)
    assert [(figure.label, figure.count) for figure in shown["today"]] == [("Waiting", 1)]  # type: ignore[attr-defined]
    assert shown["oldest"] == ours.message
    assert "Odile" not in manager.get("/admin/").content.decode()


def test_those_needing_a_person_come_first(boss: Client, ours: House, theirs: House) -> None:
    be(theirs.session, state="blocked", state_detail="WhatsApp has banned this number.")
    shown = context(boss)
    assert shown["troubled"] == [theirs.session]
    assert [figure.label for figure in shown["states"]] == ["Blocked", "Not linked"]  # type: ignore[attr-defined]
    assert "WhatsApp has banned this number." in boss.get("/admin/").content.decode()


def test_the_oldest_waiting_message(boss: Client, ours: House, theirs: House) -> None:
    assert context(boss)["oldest"] == ours.message
    messages.cancel(message=ours.message)
    assert context(boss)["oldest"] == theirs.message
    messages.cancel(message=theirs.message)
    assert context(boss)["oldest"] is None


def test_messages_of_yesterday_are_not_today(boss: Client, ours: House) -> None:
    assert len(context(boss)["today"]) == 1  # type: ignore[arg-type]
    old = Message.objects.get(pk=ours.message.pk)
    Message.objects.filter(pk=old.pk).delete()
    yesterday = timezone.now() - timedelta(days=1)
    old.pk = type(old.pk)(int=(int(yesterday.timestamp() * 1000) << 80) | 7)
    old.save(force_insert=True)
    assert context(boss)["today"] == []


def test_only_ready_workers_count_as_ready(boss: Client, worker: Worker) -> None:
    assert context(boss)["workers_ready"] == 1
    Worker.objects.update(bridge_ready=False, bridge_detail="Node was not found.")
    html = boss.get("/admin/").content.decode()
    assert context(boss)["workers_ready"] == 0 and "Node was not found." in html and "No session worker is running" in html


def test_without_a_restaurant_it_says_whom_to_ask(outsider: Client, ours: House) -> None:
    html = outsider.get("/admin/").content.decode()
    assert "belongs to no restaurant" in html and "Lucia" not in html


def test_a_webhook_nobody_hears_needs_somebody(manager: Client, ours: House, theirs: House) -> None:
    def shown() -> str:
        return manager.get("/admin/").content.decode()

    failing = {"failures": 3, "last_error": "Answered with 500."}
    Webhook.objects.update(**failing, failing_since=timezone.now())
    assert "Webhook fails" not in shown()  # it may be over in a moment
    Webhook.objects.update(failing_since=timezone.now() - timedelta(minutes=6))
    html = shown()
    assert "Webhook fails" in html and "Answered with 500." in html and "Odile" not in html
    Webhook.objects.update(is_active=False)
    assert "Webhook" not in shown().split("needs-you", 2)[2]  # switched off by a person
    Webhook.objects.update(inactive_reason="The other side answered 410 Gone.")
    assert "Webhook is off" in shown()


def test_it_says_so_when_nobody_does_what_is_due_by_itself(manager: Client, ours: House) -> None:
    def shown() -> str:
        return manager.get("/admin/").content.decode()

    assert "Periodic work stands still.</b> It has never been done yet." in shown()
    sweeps.note(sweeps.WAKE_DUE)
    assert "Periodic work" not in shown()
    Sweep.objects.update(at=timezone.now() - timedelta(minutes=7))
    assert "Periodic work stands still.</b> It was last done 7 min ago. Scheduled messages are not released" in shown()
