import json
from datetime import UTC, datetime
from typing import Any

from sessions_app.models import Session
from sessions_app.services import inbound
from tests.api.client import ApiClient

AT = datetime(2026, 1, 1, 12, 0, tzinfo=UTC).isoformat()


def receive(session: Session, *texts: str, **data: Any) -> None:
    events = [
        {
            "id": text,
            "session": str(session.pk),
            "type": "message.received",
            "at": AT,
            "data": {"id": text, "chat": "1@lid", "sender": "1@lid", "kind": "text", "text": text, "sent_at": AT, **data},
        }
        for text in texts
    ]
    inbound.record(bridge="b", events=events)


def test_it_lists_what_customers_wrote_newest_first(client: ApiClient, session: Session) -> None:
    receive(session, "one", phone="+4915112345678", name="Ada")
    receive(session, "two", "three", lid="1@lid")
    first = json.loads(client.get("/inbound", query={"limit": 2}).content)
    second = json.loads(client.get("/inbound", query={"limit": 2, "cursor": first["next_cursor"]}).content)
    shown = first["items"] + second["items"]
    assert sorted(item["text"] for item in shown) == ["one", "three", "two"]
    assert shown[-1] | {"id": ""} == {
        "id": "",
        "session_id": str(session.pk),
        "sender_phone": "+4915112345678",
        "sender_name": "Ada",
        "kind": "text",
        "text": "one",
        "edits": None,
        "sent_at": "2026-01-01T12:00:00Z",
        "received_at": shown[-1]["received_at"],
    }
    assert second["next_cursor"] is None


def test_an_edit_names_the_item_whose_place_it_takes(client: ApiClient, session: Session) -> None:
    receive(session, "2 pizzas")
    receive(session, "3 pizzas", edits="2 pizzas")
    edit, first = json.loads(client.get("/inbound").content)["items"]
    assert (edit["text"], edit["edits"], first["text"], first["edits"]) == ("3 pizzas", first["id"], "2 pizzas", None)


def test_another_restaurants_are_not_shown(stranger: ApiClient, session: Session) -> None:
    receive(session, "one")
    assert json.loads(stranger.get("/inbound").content)["items"] == []
    assert json.loads(stranger.get("/inbound", query={"session_id": str(session.pk)}).content)["items"] == []
