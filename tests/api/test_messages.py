import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from sessions_app.models import IdempotencyRecord, Message, Session
from sessions_app.services import sessions
from tests.api.client import Answer, ApiClient, blamed, problem

GOOD: dict[str, Any] = {"to": "0151 12345678", "text": "Your pizza is ready"}


def body(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.content)
    return found


def test_it_accepts_a_message(client: ApiClient, session: Session) -> None:
    answer = client.post("/messages", {**GOOD, "reference": "order 7", "priority": "high"})
    assert answer.status_code == 202
    stored = Message.objects.get()
    shown = body(answer)
    assert (shown["id"], shown["session_id"]) == (str(stored.pk), str(session.pk))
    assert (shown["to"], shown["status"], shown["position"], shown["priority"]) == ("+4915112345678", "queued", 1, "high")
    assert (stored.body, stored.reference, stored.priority) == (GOOD["text"], "order 7", Message.Priority.HIGH)
    assert answer.headers["Location"] == f"/api/v1/messages/{stored.pk}"
    assert "Idempotency-Replayed" not in answer.headers


def test_it_says_when_a_connected_session_will_send_it(client: ApiClient, session: Session) -> None:
    Session.objects.update(state="connected", next_send_at=timezone.now() + timedelta(seconds=10))
    shown = body(client.post("/messages", GOOD))
    assert 9_000 < shown["delay_ms"] <= 10_000 and shown["estimated_send_at"] > shown["created_at"]


def test_it_schedules_a_message(client: ApiClient, session: Session) -> None:
    tomorrow = (timezone.now() + timedelta(days=1)).replace(microsecond=0)
    shown = body(client.post("/messages", {**GOOD, "not_before": tomorrow.isoformat()}))
    assert (shown["status"], shown["hold_reason"]) == ("scheduled", "scheduled")
    assert Message.objects.get().not_before == tomorrow
    assert body(client.post(f"/messages/{shown['id']}/cancel"))["status"] == "canceled"


def test_a_time_that_is_past_is_now(client: ApiClient, session: Session) -> None:
    assert body(client.post("/messages", {**GOOD, "not_before": "2020-01-01T00:00:00Z"}))["status"] == "queued"


def test_a_retry_with_the_same_key_is_answered_and_not_repeated(client: ApiClient, session: Session) -> None:
    first = client.post("/messages", GOOD, Idempotency_Key="order-7")
    again = client.post("/messages", GOOD, Idempotency_Key="order-7")
    assert (first.status_code, again.status_code) == (202, 202)
    assert [answer.headers["Idempotency-Replayed"] for answer in (first, again)] == ["false", "true"]
    assert body(first)["id"] == body(again)["id"]
    assert Message.objects.count() == 1


def test_a_retry_is_answered_even_where_the_request_would_be_refused_today(client: ApiClient, session: Session) -> None:
    soon = (timezone.now() + timedelta(minutes=1)).isoformat()
    first = client.post("/messages", {**GOOD, "expires_at": soon}, Idempotency_Key="k")
    sessions.create(restaurant=session.restaurant, name="second")  # now session_id is required
    again = client.post("/messages", {**GOOD, "expires_at": soon}, Idempotency_Key="k")
    assert body(again)["id"] == body(first)["id"]
    problem(client.post("/messages", GOOD), 422, "session_required")


def test_a_key_used_for_another_request_is_refused(client: ApiClient, session: Session) -> None:
    client.post("/messages", GOOD, Idempotency_Key="k")
    problem(client.post("/messages", {**GOOD, "text": "another"}, Idempotency_Key="k"), 422, "idempotency_key_reused")
    assert Message.objects.count() == 1


@pytest.mark.parametrize(
    ("wrong", "pointer", "code"),
    [
        ({"to": None}, "/to", "string_type"),
        ({"to": 4915112345678}, "/to", "string_type"),
        ({"to": "nobody"}, "/to", "invalid_phone"),
        ({"to": "+49 30"}, "/to", "invalid_phone"),
        ({"to": ""}, "/to", "string_too_short"),
        ({"text": ""}, "/text", "string_too_short"),
        ({"text": " \n "}, "/text", "string_pattern_mismatch"),
        ({"text": "x" * 4_001}, "/text", "string_too_long"),
        ({"text": "a\0b"}, "/text", "string_pattern_mismatch"),
        ({"text": "\ud83d"}, "/text", "string_unicode"),
        ({"text": ["hi"]}, "/text", "string_type"),
        ({"reference": "\0"}, "/reference", "string_pattern_mismatch"),
        ({"reference": "x" * 121}, "/reference", "string_too_long"),
        ({"priority": "sometime"}, "/priority", "enum"),
        ({"priority": 1}, "/priority", "enum"),
        ({"session_id": "main"}, "/session_id", "uuid_parsing"),
        ({"not_before": "2030-01-01T00:00:00"}, "/not_before", "value_error"),
        ({"not_before": "9999-12-31T23:59:59-12:00"}, "/not_before", "invalid_message"),
        ({"expires_at": 1_893_456_000}, "/expires_at", "value_error"),
        ({"expires_at": "2030-01-01"}, "/expires_at", "value_error"),
        ({"expires_at": "2030-01-01T00:00:00"}, "/expires_at", "value_error"),
        ({"expires_at": "2030-13-01T00:00:00Z"}, "/expires_at", "datetime_from_date_parsing"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at", "invalid_message"),
        ({"expires_at": "9999-12-31T23:59:59-12:00"}, "/expires_at", "invalid_message"),
        ({"expires_at": "0001-01-01T00:00:00+12:00"}, "/expires_at", "invalid_message"),
        ({"colour": "red"}, "/colour", "unknown_field"),
        ({"a/b~c": 1}, "/a~1b~0c", "unknown_field"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_stored(
    client: ApiClient, session: Session, wrong: dict[str, Any], pointer: str, code: str
) -> None:
    answer = client.post("/messages", {**GOOD, **wrong}, Idempotency_Key="k")
    assert answer.status_code == 422
    assert blamed(answer) == {pointer: code}
    assert not Message.objects.exists() and not IdempotencyRecord.objects.exists()


@pytest.mark.parametrize("missing", ["to", "text"])
def test_a_missing_field_is_named(client: ApiClient, session: Session, missing: str) -> None:
    answer = client.post("/messages", {name: value for name, value in GOOD.items() if name != missing})
    assert blamed(answer) == {f"/{missing}": "required"}


@pytest.mark.parametrize("key", ["", "é", "x" * 256])
def test_a_wrong_idempotency_key_is_named(client: ApiClient, session: Session, key: str) -> None:
    answer = client.post("/messages", GOOD, Idempotency_Key=key)
    assert answer.status_code == 422 and list(blamed(answer)) == ["/Idempotency-Key"]
    assert not Message.objects.exists()


def test_four_thousand_characters_fit(client: ApiClient, session: Session) -> None:
    assert client.post("/messages", {**GOOD, "text": "😀" * 4_000}).status_code == 202


def test_a_session_has_to_be_named_when_there_are_several(client: ApiClient, session: Session) -> None:
    second = sessions.create(restaurant=session.restaurant, name="second")
    assert blamed(client.post("/messages", GOOD)) == {"/session_id": "session_required"}
    assert body(client.post("/messages", {**GOOD, "session_id": str(second.pk)}))["session_id"] == str(second.pk)


def test_another_restaurants_session_is_not_found(stranger: ApiClient, session: Session) -> None:
    problem(stranger.post("/messages", {**GOOD, "session_id": str(session.pk)}), 404, "not_found")
    assert not Message.objects.exists()


def test_it_shows_a_message_with_its_timeline(client: ApiClient, session: Session) -> None:
    made = body(client.post("/messages", GOOD))
    shown = body(client.get(f"/messages/{made['id']}"))
    assert [entry["status"] for entry in shown["timeline"]] == ["queued"]
    assert {name: shown[name] for name in made} == made


def test_another_restaurants_message_is_not_found(client: ApiClient, stranger: ApiClient, session: Session) -> None:
    made = body(client.post("/messages", GOOD))
    problem(stranger.get(f"/messages/{made['id']}"), 404, "not_found")
    problem(stranger.post(f"/messages/{made['id']}/cancel"), 404, "not_found")
    assert Message.objects.get().status == "queued"
    assert body(stranger.get("/messages"))["items"] == []
    assert body(stranger.get("/messages", query={"session_id": str(session.pk)}))["items"] == []


def test_it_cancels_once(client: ApiClient, session: Session) -> None:
    made = body(client.post("/messages", GOOD))
    assert body(client.post(f"/messages/{made['id']}/cancel"))["status"] == "canceled"
    problem(client.post(f"/messages/{made['id']}/cancel"), 409, "conflict")


@pytest.mark.parametrize(("verb", "status"), [("confirm", "sent"), ("send-again", "queued")])
def test_a_person_decides_on_what_is_uncertain(client: ApiClient, session: Session, verb: str, status: str) -> None:
    made = body(client.post("/messages", GOOD))
    problem(client.post(f"/messages/{made['id']}/{verb}"), 409, "conflict")
    Message.objects.update(status="uncertain", attempts=1, sending_at=timezone.now())
    assert body(client.post(f"/messages/{made['id']}/{verb}"))["status"] == status
    told = body(client.get(f"/messages/{made['id']}"))["timeline"][-1]
    assert told["status"] == status and told["detail"]["by"] == "API key till"


def test_another_restaurants_message_is_not_decided_on(client: ApiClient, stranger: ApiClient, session: Session) -> None:
    made = body(client.post("/messages", GOOD))
    Message.objects.update(status="uncertain", attempts=1)
    for verb in ("confirm", "send-again"):
        problem(stranger.post(f"/messages/{made['id']}/{verb}"), 404, "not_found")


def test_an_id_may_be_in_capitals(client: ApiClient, session: Session) -> None:
    made = body(client.post("/messages", {**GOOD, "session_id": str(session.pk).upper()}))
    assert body(client.get(f"/messages/{made['id'].upper()}"))["id"] == made["id"]
    assert body(client.get(f"/sessions/{str(session.pk).upper()}/status"))["waiting"] == 1


def test_pages_hold_every_message_once_though_new_ones_come(client: ApiClient, session: Session) -> None:
    made = [body(client.post("/messages", GOOD))["id"] for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = body(client.get("/messages", query={"limit": 2, **({"cursor": cursor} if cursor else {})}))
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        client.post("/messages", GOOD)
    assert seen == made[::-1]


def test_filters(client: ApiClient, session: Session) -> None:
    second = sessions.create(restaurant=session.restaurant, name="second")
    here = {**GOOD, "session_id": str(session.pk)}
    one = body(client.post("/messages", here))["id"]
    two = body(client.post("/messages", {**here, "to": "+14155552671"}))["id"]
    three = body(client.post("/messages", {**GOOD, "session_id": str(second.pk)}))["id"]
    client.post(f"/messages/{two}/cancel")

    def listed(**query: str) -> list[str]:
        return [item["id"] for item in body(client.get("/messages", query=query))["items"]]

    assert listed(status="queued") == [three, one]
    assert listed(status="canceled") == [two]
    assert listed(to="0151/12345678") == [three, one]
    assert listed(session_id=str(second.pk)) == [three]
    assert listed(to="+14155552671", status="queued") == []


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"limit": "0"}, "/limit"),
        ({"limit": "101"}, "/limit"),
        ({"limit": "ten"}, "/limit"),
        ({"status": "lost"}, "/status"),
        ({"session_id": "x"}, "/session_id"),
        ({"to": "nobody"}, "/to"),
        ({"cursor": "i" + "0" * 32}, "/cursor"),
        ({"cursor": "\0"}, "/cursor"),
        ({"statsu": "sent"}, "/statsu"),
        ({"status": ["sent", "failed"]}, "/status"),
        ({"limit": ["2", "2"]}, "/limit"),
    ],
)
def test_a_wrong_filter_is_named(client: ApiClient, session: Session, query: dict[str, Any], pointer: str) -> None:
    answer = client.get("/messages", query=query)
    assert answer.status_code == 422 and list(blamed(answer)) == [pointer]
