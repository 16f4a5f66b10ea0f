"""The lists, pages and buttons, as a manager uses them."""

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from sessions_app.admin import paging
from sessions_app.models import ApiKey, Contact, Message, MessageEvent, Session, Worker
from sessions_app.services import api_keys, messages
from tests.admin.conftest import House, be

MODELS = ("session", "message", "apikey", "contact")
SESSIONS, MESSAGES, KEYS, CONTACTS = (f"/admin/sessions_app/{model}/" for model in MODELS)


def html_of(client: Client, url: str, **query: str) -> str:
    return client.get(url, query).content.decode()


def linked(house: House, worker: Worker, **more: object) -> Session:
    return be(
        house.session, **{"state": "connected", "linked_at": timezone.now(), "phone": "+4915112345678", "owner": worker, **more}
    )


def test_the_session_list_tells_state_queue_and_owner(manager: Client, ours: House, worker: Worker) -> None:
    linked(ours, worker)
    messages.enqueue(session=ours.session, to="+4915112345699", body="second")
    row = html_of(manager, SESSIONS).split('id="changelist-form"')[1]
    assert "Connected" in row and "w1" in row and re.search(r">\s*2\s*<", row)


def test_a_gone_worker_is_told(manager: Client, ours: House, worker: Worker) -> None:
    linked(ours, worker)
    Worker.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert "w1 (gone)" in html_of(manager, SESSIONS)


@pytest.mark.parametrize(
    ("slug", "before", "field", "after"),
    [
        ("restart", {}, "restart_wish", 1),
        ("stop", {}, "desired", "offline"),
        ("start", {"desired": "offline", "state": "stopped"}, "desired", "online"),
        ("log-out", {}, "desired", "unlinked"),
    ],
)
def test_a_verb_writes_the_wish(
    manager: Client, ours: House, worker: Worker, slug: str, before: dict[str, object], field: str, after: object
) -> None:
    linked(ours, worker, **before)
    url = f"{SESSIONS}{ours.session.pk}/do/{slug}/"
    manager.get(url)
    ours.session.refresh_from_db()
    assert getattr(ours.session, field) != after, "following the link alone has changed something"
    answer = manager.post(url, follow=True)
    ours.session.refresh_from_db()
    assert getattr(ours.session, field) == after
    assert answer.status_code == 200 and LogEntry.objects.filter(object_id=str(ours.session.pk)).count() == 1
    assert ours.session.events.first().detail["by"] == "manager-Lucia"  # type: ignore[union-attr]


def test_a_verb_that_is_impossible_says_why(manager: Client, ours: House) -> None:
    html = manager.post(f"{SESSIONS}{ours.session.pk}/do/restart/", follow=True).content.decode()
    assert "Only a linked session" in html
    assert not LogEntry.objects.exists()


def test_a_deleted_session_is_gone_and_its_history_stays(manager: Client, ours: House) -> None:
    assert "Waiting messages are canceled" in html_of(manager, f"{SESSIONS}{ours.session.pk}/do/delete/")
    manager.post(f"{SESSIONS}{ours.session.pk}/do/delete/")
    assert "Lucia line" not in html_of(manager, SESSIONS)
    assert manager.get(f"{SESSIONS}{ours.session.pk}/link/").status_code == 404
    assert "Canceled" in html_of(manager, f"{MESSAGES}{ours.message.pk}/change/")


def test_the_session_page_has_its_activity(manager: Client, ours: House) -> None:
    html = html_of(manager, f"{SESSIONS}{ours.session.pk}/change/")
    assert "created" in html and "Link a phone" in html and "No session worker is running" in html


def test_a_test_message_goes_through_the_queue(manager: Client, ours: House, worker: Worker) -> None:
    linked(ours, worker)
    answer = manager.post(*trial(manager, ours, to="0151 12345690", body="Does it work?"))
    made = Message.objects.get(body="Does it work?")
    assert (made.to_phone, made.status) == ("+4915112345690", "queued")
    assert answer["Location"] == f"{MESSAGES}{made.pk}/change/"


def trial(client: Client, house: House, **form: str) -> tuple[str, dict[str, str]]:
    """The address and the filled-in form of a page that was opened for it."""
    url = f"{SESSIONS}{house.session.pk}/test-send/"
    page = re.search(r'name="page" value="([^"]+)"', html_of(client, url))
    assert page
    return url, {"page": page[1], **form}


def test_a_second_click_sends_no_second_test_message(manager: Client, ours: House) -> None:
    url, form = trial(manager, ours, to="0151 12345690", body="Does it work?")
    first, second = manager.post(url, form), manager.post(url, form)
    assert first["Location"] == second["Location"]
    assert Message.objects.filter(body="Does it work?").count() == LogEntry.objects.count() == 1
    manager.post(url, {**form, "body": "Something else"})
    manager.post(*trial(manager, ours, to="0151 12345690", body="Does it work?"))
    assert Message.objects.filter(to_phone="+4915112345690").count() == LogEntry.objects.count() == 3


@pytest.mark.parametrize(
    ("to", "body", "says"),
    [("123", "x", "not a valid phone number"), ("", "x", "required"), ("+4915112345690", " \n", "required")],
)
def test_a_wrong_test_message_is_told_and_not_stored(manager: Client, ours: House, to: str, body: str, says: str) -> None:
    html = manager.post(*trial(manager, ours, to=to, body=body)).content.decode()
    assert says in html and Message.objects.count() == 1


def test_a_message_page_tells_its_life(manager: Client, ours: House, worker: Worker) -> None:
    now = timezone.now()
    for status, detail in (("sending", {"attempt": 1}), ("sent", {}), ("read", {})):
        MessageEvent.objects.create(message=ours.message, at=now, status=status, detail=detail)
    Message.objects.filter(pk=ours.message.pk).update(status="read", body="<script>alert(1)</script>")
    html = html_of(manager, f"{MESSAGES}{ours.message.pk}/change/")
    timeline = html.split('class="rw-timeline"')[1].split("</ol>")[0]
    assert re.findall(r'class="rw-badge[^>]*>([^<]+)<', timeline) == ["Waiting", "Being sent", "Sent", "Read"]
    assert "attempt 1" in timeline and "<script>alert" not in html and "Why it waits" not in html


def test_a_waiting_message_says_why(manager: Client, ours: House, worker: Worker) -> None:
    linked(ours, worker)
    later = messages.enqueue(session=ours.session, to="+4915112345699", body="second").message
    assert "1 message goes first" in html_of(manager, f"{MESSAGES}{later.pk}/change/")


def test_cancel(manager: Client, ours: House) -> None:
    url = f"{MESSAGES}{ours.message.pk}/"
    assert "Withdraw this message" in html_of(manager, f"{url}do/cancel/")
    manager.post(f"{url}do/cancel/")
    ours.message.refresh_from_db()
    assert ours.message.status == "canceled"
    assert "do/cancel" not in html_of(manager, f"{url}change/")
    assert "can be canceled" in manager.post(f"{url}do/cancel/", follow=True).content.decode()


def test_a_message_that_is_not_kept_any_more_is_told_as_gone(manager: Client, ours: House) -> None:
    url = f"{MESSAGES}{ours.message.pk}/"
    MessageEvent.objects.all().delete()
    Message.objects.all().delete()
    answer = manager.get(f"{url}change/", follow=True)
    assert answer.status_code == 200 and "doesn’t exist" in answer.content.decode()
    assert manager.post(f"{url}do/cancel/").status_code == 404


def test_what_nobody_knows_of_is_decided_with_a_button(manager: Client, ours: House) -> None:
    url = f"{MESSAGES}{ours.message.pk}/"
    assert "do/arrived" not in html_of(manager, f"{url}change/")
    for verb, status in (("arrived", "sent"), ("send-again", "queued")):
        Message.objects.update(status="uncertain", attempts=1, sending_at=timezone.now())
        assert f"do/{verb}" in html_of(manager, f"{url}change/")
        manager.post(f"{url}do/{verb}/")
        ours.message.refresh_from_db()
        assert ours.message.status == status
        assert ours.message.events.order_by("-id")[0].detail["by"].startswith("manager")


@pytest.mark.parametrize("term", ["+49 1511 2345601", "4915112345601", "0151 12345601", "Lucia-1"])
def test_search_by_number_and_reference(manager: Client, ours: House, term: str) -> None:
    messages.enqueue(session=ours.session, to="+4915112345699", body="another", reference="Lucia-12")
    html = html_of(manager, MESSAGES, q=term)
    assert "Hello from Lucia" in html and "another" not in html


@pytest.mark.parametrize("term", ["Lucia guest", " Lucia guest ", "+49 1511 2345601", "0151 12345601", "4711@lid", "4711"])
def test_search_for_a_contact_by_name_number_and_lid(manager: Client, ours: House, theirs: House, term: str) -> None:
    Contact.objects.filter(pk=ours.contact.pk).update(lid="4711@lid")
    Contact.objects.create(restaurant=ours.restaurant, session=ours.session, phone="+4915112345699", name="Another guest")
    assert found_contacts(manager, term) == [ours.contact]


@pytest.mark.parametrize("term", ["Odile guest", "+49 1511 2345602", "0151 12345602", "guest", "Lucia", "0"])
def test_search_finds_no_contact_of_others_and_none_by_a_part(manager: Client, ours: House, theirs: House, term: str) -> None:
    assert found_contacts(manager, term) == []


def found_contacts(client: Client, term: str) -> list[Contact]:
    return list(client.get(CONTACTS, {"q": term}).context["cl"].result_list)


def test_search_by_id_and_for_nothing(manager: Client, ours: House) -> None:
    assert "Hello from Lucia" in html_of(manager, MESSAGES, q=str(ours.message.pk))
    assert "Hello from Lucia" not in html_of(manager, MESSAGES, q="nobody wrote this")


def test_filters(manager: Client, ours: House) -> None:
    today = f"{timezone.now():%Y-%m-%d}"
    for query in ({"status": "queued"}, {"session": str(ours.session.pk)}, {"from": today}, {"until": today}):
        assert "Hello from Lucia" in html_of(manager, MESSAGES, **query), query
    for query in ({"status": "read"}, {"until": "2020-01-01"}, {"from": "2100-01-01"}):
        assert "Hello from Lucia" not in html_of(manager, MESSAGES, **query), query


def test_many_messages_are_not_counted_to_the_end(manager: Client, ours: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "COUNTED", 2)
    for number in range(3):
        messages.enqueue(session=ours.session, to="+4915112345699", body=f"message {number}")
    html = html_of(manager, MESSAGES)
    assert "more than" in html and "4 messages" not in html


@pytest.mark.parametrize("path", [MESSAGES, SESSIONS])
def test_no_address_has_the_choices_of_filters_counted(manager: Client, ours: House, path: str) -> None:
    with CaptureQueriesContext(connection) as asked:
        html = html_of(manager, path, _facets="True")
    assert "Show counts" not in html and "Hide counts" not in html
    assert not [one["sql"] for one in asked if "FILTER (WHERE" in one["sql"]]


def test_a_key_is_shown_once_and_works(manager: Client, ours: House) -> None:
    form = {
        "restaurant": str(ours.restaurant.pk),
        "name": "Kitchen",
        "scopes": ["messages:read"],
        "expires_at_0": "",
        "expires_at_1": "",
    }
    answer = manager.post(f"{KEYS}add/", form)
    plain = re.search(r'id="secret">(rwa_[^<]+)<', answer.content.decode())
    assert plain and "no-store" in answer["Cache-Control"]
    key = api_keys.authenticate(token=plain[1])
    assert key and (key.name, key.scopes, key.restaurant_id) == ("Kitchen", ["messages:read"], ours.restaurant.pk)
    assert key.created_by and key.created_by.get_username() == "manager-Lucia"
    for url in (KEYS, f"{KEYS}{key.pk}/change/", f"{KEYS}{key.pk}/history/"):
        assert plain[1] not in html_of(manager, url)


@pytest.mark.parametrize(
    "wrong", [{"name": ""}, {"scopes": []}, {"scopes": ["everything"]}, {"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}]
)
def test_a_wrong_key_form_makes_none(manager: Client, ours: House, wrong: dict[str, object]) -> None:
    form = {
        "restaurant": str(ours.restaurant.pk),
        "name": "x",
        "scopes": ["messages:read"],
        "expires_at_0": "",
        "expires_at_1": "",
    }
    assert manager.post(f"{KEYS}add/", {**form, **wrong}).status_code == 200
    assert ApiKey.objects.count() == 1


def test_a_revoked_key_opens_nothing(manager: Client, ours: House) -> None:
    key, plain = api_keys.issue(restaurant=ours.restaurant, name="Lost")
    manager.post(f"{KEYS}{key.pk}/do/revoke/")
    assert api_keys.authenticate(token=plain) is None
    assert "Revoked" in html_of(manager, f"{KEYS}{key.pk}/change/")


def test_the_first_page_after_signing_in(client: Client, boss: Client, settings: Settings) -> None:
    settings.SIMULATOR_URL = "http://127.0.0.1:8099"
    assert "WhatsApp is simulated" in html_of(boss, "/admin/")
    assert client.get("/admin/")["Location"] == "/admin/login/?next=/admin/"


def test_no_page_asks_for_anything_from_elsewhere(boss: Client, ours: House) -> None:
    for url in ("/admin/", SESSIONS, f"{SESSIONS}{ours.session.pk}/link/", MESSAGES, f"{KEYS}add/"):
        html = html_of(boss, url)
        assert not re.findall(r'(?:src|<link[^>]*href)="(https?:)?//', html), url


@pytest.mark.parametrize("path", ["message/?status=%00", "message/?status=nope", "session/?state=%00"])
def test_a_filter_that_nobody_offers_finds_nothing(manager: Client, path: str) -> None:
    answer = manager.get(f"/admin/sessions_app/{path}")
    assert answer.status_code == 200 and answer.context["cl"].result_count == 0


@pytest.mark.parametrize(("model", "field"), [("message", "session"), ("session", "restaurant"), ("messageevent", "message")])
def test_nothing_is_found_by_what_no_row_can_hold(manager: Client, ours: House, model: str, field: str) -> None:
    """A page's own box refuses it; the search behind the forms' choices takes what its address says."""
    where = {"app_label": "sessions_app", "model_name": model, "field_name": field}
    assert manager.get("/admin/autocomplete/", {**where, "term": "Lucia-1" if field == "message" else "Lucia"}).json()["results"]
    assert manager.get("/admin/autocomplete/", {**where, "term": "Lucia\0"}).json()["results"] == []


def test_nobody_is_found_by_what_no_name_can_hold(boss: Client) -> None:
    where = {"app_label": "sessions_app", "model_name": "membership", "field_name": "user"}
    assert boss.get("/admin/autocomplete/", {**where, "term": "bos"}).json()["results"]
    assert boss.get("/admin/autocomplete/", {**where, "term": "bos\0"}).json()["results"] == []


@pytest.mark.parametrize("path", ["search/?s=a", "search/?s=a&page=0", "search/?s=a&page=x", "r/{kind}/{row}/", "r/{kind}/abc/"])
def test_what_no_page_leads_to_is_not_there(manager: Client, ours: House, path: str) -> None:
    """And breaks for nobody who asks oddly."""
    kind = ContentType.objects.get_for_model(Message)
    assert manager.get("/admin/" + path.format(kind=kind.pk, row=ours.message.pk)).status_code == 404
