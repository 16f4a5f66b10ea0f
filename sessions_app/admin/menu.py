"""The sidebar. Unfold calls `navigation` for every page; it shows only what the person may open."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

from sessions_app.admin.grants import grants_of


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    groups = [_daily()]
    grants = grants_of(request)
    if grants.everything or grants.readable:
        groups.append(
            _group(
                "Restaurant",
                _item("Restaurants", "storefront", "restaurant"),
                _item("API keys", "key", "apikey"),
                _item("Webhooks", "webhook", "webhook"),
            )
        )
    if grants.everything:
        groups.append(_group("Installation", _item("Workers", "memory", "worker"), _item("People", "group", "user", app="auth")))
    return groups


def stylesheet(request: HttpRequest) -> str:
    return static("sessions_app/admin.css")


def favicon(request: HttpRequest) -> str:
    return static("sessions_app/icon.svg")


def _daily() -> dict[str, Any]:
    overview = {"title": "Overview", "icon": "dashboard", "link": reverse("admin:index")}
    return {
        "items": [
            overview,
            _item("Sessions", "smartphone", "session"),
            _item("Messages", "chat", "message"),
            _item("Received", "inbox", "inboundmessage"),
            _item("Contacts", "contacts", "contact"),
        ]
    }


def _group(title: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "separator": True, "items": list(items)}


def _item(title: str, icon: str, model: str, *, app: str = "sessions_app") -> dict[str, Any]:
    return {"title": title, "icon": icon, "link": reverse(f"admin:{app}_{model}_changelist")}
