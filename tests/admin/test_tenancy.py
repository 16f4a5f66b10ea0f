"""Nobody sees or changes another restaurant's rows, whatever address they type."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from sessions_app.models import ApiKey, Membership, Message, Session, Webhook
from tests.admin.conftest import House

MODELS = ("restaurant", "session", "message", "apikey", "contact", "inboundmessage", "webhook")
WORDS_OF_THEIRS = ("Odile", "+49 1511 2345602", "+4915112345602")


def page(model: str, *parts: object) -> str:
    return "/".join(["/admin/sessions_app", model, *map(str, parts), ""])


def text_of(client: Client, url: str, **query: str) -> str:
    answer = client.get(url, query, follow=True)
    assert answer.status_code == 200, (url, answer.status_code)
    return answer.content.decode()


def tells_of_theirs(html: str) -> list[str]:
    return [word for word in WORDS_OF_THEIRS if word in html]


@pytest.mark.parametrize("model", MODELS)
def test_a_list_shows_a_member_their_own_rows_only(manager: Client, ours: House, theirs: House, model: str) -> None:
    html = text_of(manager, page(model))
    assert "Lucia" in html
    assert not tells_of_theirs(html)


@pytest.mark.parametrize("model", MODELS)
def test_a_superuser_sees_all(boss: Client, ours: House, theirs: House, model: str) -> None:
    html = text_of(boss, page(model))
    assert "Lucia" in html and "Odile" in html


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("part", ["change", "history", "delete"])
def test_a_foreign_row_has_no_page(manager: Client, ours: House, theirs: House, model: str, part: str) -> None:
    answer = manager.get(page(model, theirs.rows[model], part), follow=True)
    assert not tells_of_theirs(answer.content.decode())


@pytest.mark.parametrize("model", MODELS)
def test_an_own_row_has_a_page(viewer: Client, ours: House, model: str) -> None:
    assert "Lucia" in text_of(viewer, page(model, ours.rows[model], "change"))


@pytest.mark.parametrize("model", MODELS)
def test_nobody_without_a_membership_sees_anything(outsider: Client, ours: House, model: str) -> None:
    assert outsider.get(page(model)).status_code == 403
    assert outsider.get(page(model, ours.rows[model], "change")).status_code in (302, 403)


def test_djangos_permissions_open_nothing(outsider: Client, ours: House) -> None:
    User.objects.get(username="outsider").user_permissions.set(Permission.objects.all())
    for model in MODELS:
        assert outsider.get(page(model)).status_code == 403
    assert outsider.get("/admin/auth/user/").status_code == 403
    assert outsider.get("/admin/sessions_app/worker/").status_code == 403


@pytest.mark.parametrize("path", ["/admin/auth/user/", "/admin/auth/user/add/", "/admin/sessions_app/worker/"])
def test_a_manager_sees_neither_people_nor_workers(manager: Client, path: str) -> None:
    assert manager.get(path).status_code == 403


SESSION_PAGES = ("link", "link/state", "test-send", "do/restart", "do/log-out", "do/delete")


@pytest.mark.parametrize("part", SESSION_PAGES)
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_foreign_session_cannot_be_acted_on(manager: Client, theirs: House, part: str, method: str) -> None:
    before = Session.objects.values().get(pk=theirs.session.pk)
    answer = getattr(manager, method)(page("session", theirs.session.pk, part), {"do": "qr", "to": "+4915112345603", "body": "x"})
    assert answer.status_code == 404
    assert Session.objects.values().get(pk=theirs.session.pk) == before
    assert Message.objects.filter(session=theirs.session).count() == 1


@pytest.mark.parametrize("part", SESSION_PAGES)
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_viewer_only_looks(viewer: Client, ours: House, part: str, method: str) -> None:
    before = Session.objects.values().get(pk=ours.session.pk)
    answer = getattr(viewer, method)(page("session", ours.session.pk, part), {"do": "qr", "to": "+4915112345603", "body": "x"})
    assert answer.status_code == 403
    assert Session.objects.values().get(pk=ours.session.pk) == before
    assert Message.objects.filter(session=ours.session).count() == 1


def test_foreign_messages_and_keys_cannot_be_acted_on(manager: Client, theirs: House) -> None:
    assert manager.post(page("message", theirs.message.pk, "do/cancel")).status_code == 404
    assert manager.post(page("apikey", theirs.key.pk, "do/revoke")).status_code == 404
    theirs.message.refresh_from_db()
    theirs.key.refresh_from_db()
    assert theirs.message.status == "queued" and theirs.key.revoked_at is None


def test_a_viewer_cannot_cancel_revoke_or_make(viewer: Client, ours: House) -> None:
    assert viewer.post(page("message", ours.message.pk, "do/cancel")).status_code == 403
    assert viewer.post(page("apikey", ours.key.pk, "do/revoke")).status_code == 403
    assert viewer.post(page("apikey", "add"), {"restaurant": ours.restaurant.pk, "name": "x"}).status_code == 403
    assert viewer.post(page("session", "add"), {"restaurant": ours.restaurant.pk, "name": "x"}).status_code == 403
    changed = viewer.post(page("restaurant", ours.restaurant.pk, "change"), {"name": "Mine now"})
    assert changed.status_code == 403
    ours.restaurant.refresh_from_db()
    assert ours.restaurant.name == "Lucia"


@pytest.mark.parametrize("model", ["apikey", "session", "webhook"])
def test_a_forged_form_cannot_name_a_foreign_restaurant(manager: Client, theirs: House, model: str) -> None:
    form = {
        "restaurant": theirs.restaurant.pk,
        "name": "forged",
        "url": "https://forged.example/",
        "scopes": "messages:read",
        "expires_at_0": "",
        "expires_at_1": "",
    }
    answer = manager.post(page(model, "add"), form)
    assert answer.status_code == 200 and "Select a valid choice" in answer.content.decode()
    assert not ApiKey.objects.filter(name="forged").exists() and not Session.objects.filter(name="forged").exists()
    assert not Webhook.objects.filter(url__contains="forged").exists()


def test_a_manager_cannot_add_members_or_restaurants(manager: Client, ours: House) -> None:
    assert manager.get(page("restaurant", "add")).status_code == 403
    people = {"memberships-TOTAL_FORMS": "1", "memberships-INITIAL_FORMS": "0", "memberships-0-role": "manager"}
    people |= {"memberships-0-user": str(User.objects.create_user("friend", is_staff=True).pk)}
    form = {"name": "Lucia", "time_zone": "Europe/Rome", "default_region": "IT", "resend_uncertain": "on"}
    answer = manager.post(page("restaurant", ours.restaurant.pk, "change"), {**form, **people})
    assert answer.status_code == 302
    ours.restaurant.refresh_from_db()
    assert ours.restaurant.time_zone == "Europe/Rome" and ours.restaurant.is_active
    assert not Membership.objects.filter(user__username="friend").exists()


@pytest.mark.parametrize(
    ("model", "field"), [("message", "session"), ("contact", "session"), ("apikey", "restaurant"), ("membership", "user")]
)
def test_autocomplete_tells_nothing_foreign(manager: Client, ours: House, theirs: House, model: str, field: str) -> None:
    query = {"app_label": "sessions_app", "model_name": model, "field_name": field, "term": "Odile"}
    answer = manager.get("/admin/autocomplete/", query)
    assert answer.status_code == 403 or answer.json()["results"] == []


@pytest.mark.parametrize("model", ["session", "message", "contact", "inboundmessage", "apikey", "webhook"])
def test_a_filter_neither_offers_nor_finds_the_foreign(manager: Client, ours: House, theirs: House, model: str) -> None:
    html = text_of(manager, page(model), restaurant=str(theirs.restaurant.pk))
    assert not tells_of_theirs(html) and "Lucia" not in html.split('id="changelist-form"')[1].split("</form>")[0]


def test_search_finds_nothing_foreign(manager: Client, ours: House, theirs: House) -> None:
    for term in (theirs.message.to_phone, theirs.message.reference, str(theirs.message.pk)):
        html = text_of(manager, page("message"), q=term)
        assert "Hello from Odile" not in html


@pytest.mark.parametrize(
    ("model", "lookup"),
    [
        ("apikey", "digest__startswith"),
        ("apikey", "created_by__password__startswith"),
        ("message", "restaurant__memberships__user__password__startswith"),
        ("session", "owner__name"),
        ("contact", "session__messages__body__contains"),
        ("session", "restaurant_id__in"),
    ],
)
def test_an_address_cannot_ask_for_columns(manager: Client, ours: House, model: str, lookup: str) -> None:
    assert manager.get(page(model), {lookup: "x"}).status_code == 400


@pytest.mark.parametrize(
    "hostile", ["not-a-uuid", "01a20895-0000-7000-8000-000000000000", "%00", "1' OR '1'='1", "../../auth/user/1"]
)
@pytest.mark.parametrize("part", ["change", "link", "do/delete"])
def test_a_senseless_id_is_no_error(manager: Client, hostile: str, part: str) -> None:
    answer = manager.get(f"/admin/sessions_app/session/{hostile}/{part}/")
    assert answer.status_code in (302, 403, 404)


@pytest.mark.parametrize(
    "query",
    [{"session": "x"}, {"restaurant": "'"}, {"from": "31.12.", "until": "9999-99-99"}, {"p": "-5"}, {"p": "x"}, {"status": "no"}],
)
def test_a_senseless_filter_is_no_error(manager: Client, ours: House, query: dict[str, str]) -> None:
    assert manager.get(page("message"), query, follow=True).status_code == 200


def test_who_lost_the_membership_loses_the_view(manager: Client, ours: House) -> None:
    assert manager.get(page("session", ours.session.pk, "change")).status_code == 200
    Membership.objects.all().delete()
    assert manager.get(page("session", ours.session.pk, "change")).status_code in (302, 403)
    assert manager.post(page("session", ours.session.pk, "link"), {"do": "qr"}).status_code in (403, 404)
