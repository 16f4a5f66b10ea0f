"""A restaurant's settings: shown as people say them, refused in words, stored as before."""

from datetime import time
from html import unescape
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from sessions_app.models import Restaurant, Session
from sessions_app.services import lanes, messages
from tests.admin.conftest import House
from tests.support.claiming import contact, fresh, numbers
from tests.support.owning import ago, queued


def url(house: House) -> str:
    return f"/admin/sessions_app/restaurant/{house.restaurant.pk}/change/"


def page(client: Client, house: House) -> str:
    return unescape(client.get(url(house)).content.decode())


def shown(client: Client, house: House) -> dict[str, Any]:
    """What a browser would send back if nothing were changed."""
    form = client.get(url(house)).context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    return {name: value for name, value in values.items() if value not in (None, False)}


def saved(client: Client, house: House, **changes: Any) -> str:
    """The page's complaints; empty when it was saved."""
    management = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    filled_in = {name: value for name, value in {**shown(client, house), **changes}.items() if value is not None}
    answer = client.post(url(house), {**filled_in, **management})
    return "" if answer.status_code == 302 else unescape(answer.content.decode())


def now(house: House) -> Restaurant:
    return Restaurant.objects.get(pk=house.restaurant.pk)


SETTINGS: dict[str, Any] = {
    "pace_min_delay_ms": 1_500,
    "pace_max_delay_ms": 4_000,
    "cold_min_delay_ms": 30_001,
    "hourly_limit": 100,
    "quiet_from": time(23, 0),
    "quiet_until": time(7, 30),
    "urgent_through_quiet": True,
    "send_windows": {"mon": [["10:00", "14:00"], ["17:00", "00:00"]], "sat": [["18:00", "02:00"]]},
    "opt_out_languages": "en,de,tr",
    "opt_out_words": "basta",
    "resend_uncertain": False,
}


def test_saving_without_a_change_changes_nothing(manager: Client, ours: House) -> None:
    Restaurant.objects.filter(pk=ours.restaurant.pk).update(**SETTINGS)
    before = Restaurant.objects.filter(pk=ours.restaurant.pk).values().get()
    assert saved(manager, ours) == ""
    after = Restaurant.objects.filter(pk=ours.restaurant.pk).values().get()
    assert {**after, "updated_at": None} == {**before, "updated_at": None}
    assert manager.get(url(ours)).context["adminform"].form.initial["send_windows"] == SETTINGS["send_windows"]


def test_a_page_saved_as_it_was_says_so(manager: Client, ours: House) -> None:
    Restaurant.objects.filter(pk=ours.restaurant.pk).update(**SETTINGS)
    form = manager.get(url(ours)).context["adminform"].form
    same = type(form)(data=shown(manager, ours), instance=now(ours))
    assert same.is_valid() and same.changed_data == []


def test_what_is_filled_in_is_stored_as_before(manager: Client, ours: House) -> None:
    assert saved(
        manager, ours, pace_min_delay_ms="1.5", pace_max_delay_ms="3", send_windows="Mon-Tue 10-14\n", time_zone="Asia/Tokyo",
        opt_out_languages=["de", "en"], quiet_from="22:00", quiet_until="06:00", default_region="JP",
    ) == ""  # fmt: skip
    stored = now(ours)
    assert (stored.pace_min_delay_ms, stored.pace_max_delay_ms, stored.cold_min_delay_ms) == (1_500, 3_000, None)
    assert stored.send_windows == {"mon": [["10:00", "14:00"]], "tue": [["10:00", "14:00"]]}
    assert (stored.opt_out_languages, stored.time_zone, stored.default_region) == ("en,de", "Asia/Tokyo", "JP")
    assert saved(manager, ours, pace_min_delay_ms="", send_windows=" ", opt_out_languages=[]) == ""
    assert (now(ours).pace_min_delay_ms, now(ours).send_windows, now(ours).opt_out_languages) == (None, None, "")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"send_windows": "Mon 10:00–14:00\nTue at noon"}, "Line 2, “Tue at noon”: “at noon” is no interval"),
        ({"quiet_from": "08:00", "quiet_until": "08:00"}, "Quiet hours need a start and an end that differ."),
        (
            {"quiet_from": "08:00", "quiet_until": "08:00", "send_windows": "?"},
            "Quiet hours need a start and an end that differ.",
        ),
        ({"quiet_until": "08:00"}, "Quiet hours need both a start and an end."),
        ({"quiet_from": "08:00"}, "Quiet hours need both a start and an end."),
        (
            {"send_windows": "Mon 23:00–23:30", "quiet_from": "22:00", "quiet_until": "06:00"},
            "These quiet hours and send windows leave no time to send.",
        ),
        ({"pace_min_delay_ms": "5", "pace_max_delay_ms": "2"}, "The longest delay cannot be shorter than the shortest."),
        ({"pace_min_delay_ms": "-1"}, "greater than or equal to 0"),
        ({"pace_min_delay_ms": "0.0001"}, "no more than 3 decimal places"),
        ({"pace_min_delay_ms": "soon"}, "Enter a number"),
        ({"pace_min_delay_ms": "999999"}, "less than or equal to 86400"),
        ({"opt_out_languages": ["xx"]}, "xx is not one of the available choices"),
        ({"time_zone": "Europe/Atlantis"}, "is not one of the available choices"),
        ({"default_region": "ZZ"}, "is not one of the available choices"),
    ],
)
def test_a_wrong_setting_is_told_and_not_stored(manager: Client, ours: House, wrong: dict[str, Any], says: str) -> None:
    html = saved(manager, ours, **wrong)
    assert says in html
    assert now(ours).updated_at == ours.restaurant.updated_at
    for typed in (value for value in wrong.values() if isinstance(value, str) and "/" not in value and value != "ZZ"):
        assert typed in html, "what was typed is there to be corrected"


def test_each_empty_setting_tells_what_it_means_here(manager: Client, ours: House, settings: Settings) -> None:
    settings.PACE_MIN_DELAY_MS, settings.STRANGERS_DAILY_LIMIT, settings.RECIPIENT_GAP_S = 2_250, 0, 7
    html = page(manager, ours)
    assert "Between two messages of a number. Empty: 2.25 s." in html
    assert "Empty: no limit." in html and "Between two messages to the same customer. Empty: 7 s." in html
    assert "You will get no more messages from us." in html
    assert "delay ms" not in html and "Recipient gap s" not in html and ">null<" not in html


def test_who_may_only_look_sees_what_holds(viewer: Client, ours: House, settings: Settings) -> None:
    settings.COLD_MIN_DELAY_MS, settings.COLD_MAX_DELAY_MS = 20_000, 60_000
    Restaurant.objects.filter(pk=ours.restaurant.pk).update(**{**SETTINGS, "cold_min_delay_ms": None})
    html = page(viewer, ours)
    assert "1.5–4 s" in html and "20–60 s" in html and "English, German, Turkish" in html
    assert "Mon 10:00–14:00, 17:00–24:00" in html and "Messages an hour" in html
    assert "<textarea" not in html and 'name="pace_min_delay_ms"' not in html


def test_protection_that_is_switched_on_holds_for_what_waits(
    manager: Client, ours: House, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    """However much it is: a part at a time."""
    monkeypatch.setattr(lanes, "RANKED_AT_ONCE", 2)
    Restaurant.objects.update(protect_strangers=False)
    session = Session.objects.select_related("restaurant").get(restaurant=ours.restaurant)
    regular, known, *strangers = numbers(7)
    contact(session, regular, last_inbound_at=ago(days=1)), contact(session, known, last_outbound_at=ago(days=1))
    waiting = [messages.enqueue(session=session, to=to, body="offer").message for to in (regular, known, *strangers)]
    planned = messages.enqueue(session=session, to=strangers[0], body="offer", not_before=ago(hours=-1)).message
    assert {one.lane for one in waiting} == {0}
    with django_capture_on_commit_callbacks(execute=True):
        assert saved(manager, ours, protect_strangers="on") == ""
    assert [fresh(one).lane for one in (*waiting, planned)] == [0, 1, *[2] * 5, 2]


@pytest.mark.parametrize("change", [{"identical_limit": "20"}, {"protect_strangers": None}])
def test_what_was_held_as_one_text_to_many_goes_by_the_new_rule(
    manager: Client, ours: House, change: dict[str, Any], django_capture_on_commit_callbacks: Any
) -> None:
    session = Session.objects.get(restaurant=ours.restaurant)
    later: dict[str, Any] = {"hold_until": ago(hours=-9), "not_before": ago(hours=-9)}
    held, parked = (queued(session, lane=2, hold_reason=reason, **later) for reason in ("identical_text", "contact_parked"))
    with django_capture_on_commit_callbacks(execute=True):
        assert saved(manager, ours, pace_min_delay_ms="1") == ""
    assert fresh(held).hold_reason == "identical_text"
    with django_capture_on_commit_callbacks(execute=True):
        assert saved(manager, ours, **change) == ""
    assert (fresh(held).hold_reason, held.hold_until, held.lane) == ("", None, 2) and held.not_before < ago()
    assert fresh(parked).hold_reason == "contact_parked"


def test_another_restaurants_settings_are_out_of_reach(manager: Client, ours: House, theirs: House) -> None:
    before = Restaurant.objects.filter(pk=theirs.restaurant.pk).values().get()
    assert manager.get(url(theirs)).status_code in (302, 404)
    manager.post(url(theirs), {**shown(manager, ours), "name": "Mine now"})
    assert Restaurant.objects.filter(pk=theirs.restaurant.pk).values().get() == before


def test_a_new_restaurant(boss: Client) -> None:
    form = boss.get("/admin/sessions_app/restaurant/add/").context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    data = {name: value for name, value in values.items() if value not in (None, False)}
    management = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    answer = boss.post("/admin/sessions_app/restaurant/add/", {**data, "name": "Nova", **management})
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    made = Restaurant.objects.get(name="Nova")
    assert (made.time_zone, made.opt_out_languages, made.send_windows) == ("UTC", "en", None)
