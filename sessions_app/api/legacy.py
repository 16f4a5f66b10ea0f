"""The routes of the service this one replaces, for clients that cannot change yet. Off unless LEGACY_ROUTES is set.

`session` is a session's id, or the id that the key's restaurant had in the old installation (`manage.py import_legacy`).
"""

from typing import Annotated, Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from pydantic import AliasChoices, BaseModel, Field, ValidationError

from sessions_app.api import health, qr
from sessions_app.api.auth import actor_of, restaurant_of
from sessions_app.api.errors import blaming, of_validation
from sessions_app.api.fields import VISIBLE, PhoneText
from sessions_app.api.legacy_door import Body, route
from sessions_app.errors import InvalidPhone, NotFound
from sessions_app.models import ApiKey, Message, Restaurant, Session
from sessions_app.models.messages import MAX_BODY_CHARACTERS
from sessions_app.services import estimates, messages, sessions
from sessions_app.services.sessions import SessionRequired

Scope = ApiKey.Scope
INACTIVE = (Session.State.UNLINKED, Session.State.LOGGED_OUT)


class LegacySend(BaseModel):
    """What is not named here is ignored, as old clients send more."""

    to: PhoneText = Field(validation_alias=AliasChoices("to", "phone"))
    message: Annotated[str, Field(min_length=1, max_length=MAX_BODY_CHARACTERS, pattern=VISIBLE)]
    session: str | int | None = Field(None, validation_alias=AliasChoices("sessionId", "session_id", "restaurant_id"))


@route("GET", Scope.SESSIONS_WRITE)
def get_qr(request: HttpRequest, body: Body, session: str) -> dict[str, Any]:
    found = _named(request, session)
    shown = qr.shown(found)
    return {
        "sessionId": str(found.pk),
        "qr": shown.qr,
        "image": shown.image,
        "timestamp": shown.generated_at,
        "expires_at": shown.expires_at,
    }


@route("GET", Scope.SESSIONS_READ)
def get_status(request: HttpRequest, body: Body, session: str) -> dict[str, Any]:
    return _described(_named(request, session))


@route("DELETE", Scope.SESSIONS_WRITE)
def end_session(request: HttpRequest, body: Body, session: str) -> dict[str, Any]:
    """Logs out, as the old service did; the session stays, so that it can be linked again and nothing waiting is lost."""
    return _described(sessions.log_out(session=_named(request, session), actor=actor_of(request)))


@route("GET", Scope.SESSIONS_READ)
def list_active(request: HttpRequest, body: Body) -> dict[str, Any]:
    found = Session.objects.filter(restaurant=restaurant_of(request), deleted_at=None).exclude(state__in=INACTIVE).order_by("id")
    listed = [_described(session) for session in found]
    return {"sessions": listed, "count": len(listed)}


@route("POST", Scope.MESSAGES_WRITE)
def send(request: HttpRequest, body: Body) -> dict[str, Any]:
    sent = _sent(body)
    session = _session(restaurant_of(request), None if sent.session is None else str(sent.session))
    with blaming(InvalidPhone, "body", "phone" if "to" not in body else "to"):
        message = messages.enqueue(session=session, to=sent.to, body=sent.message).message
    return _accepted(message)


@csrf_exempt
@require_safe
def get_health(request: HttpRequest) -> HttpResponse:
    found = health.check()
    told = {"success": found.database, **found.model_dump()}
    return JsonResponse(told, status=200 if found.database else 503, headers={"Cache-Control": "no-store"})


urls = [
    path("qr/<str:session>", get_qr),
    path("session/<str:session>/status", get_status),
    path("session/<str:session>", end_session),
    path("sessions", list_active),
    path("send", send),
    path("health", get_health),
]


def _named(request: HttpRequest, given: str) -> Session:
    """The session an address names. Raises NotFound: there is no field in which to name one of several."""
    try:
        return _session(restaurant_of(request), given)
    except SessionRequired:
        raise NotFound("This restaurant does not have exactly one session: put the session's own id into the address.") from None


def _session(restaurant: Restaurant, given: str | None) -> Session:
    """Raises NotFound; SessionRequired where the restaurant is named and does not have exactly one session."""
    if given is None or given == (restaurant.legacy_id or ":").partition(":")[2]:
        return sessions.for_sending(restaurant=restaurant, session_id=None)
    try:
        return sessions.get(restaurant=restaurant, session_id=UUID(given))
    except ValueError:
        raise NotFound("This restaurant has no such session.") from None


def _sent(body: Body) -> LegacySend:
    try:
        return LegacySend.model_validate(body)
    except ValidationError as error:
        raise of_validation([{**one, "loc": ("body", "message", *one["loc"])} for one in error.errors()]) from error


def _described(session: Session) -> dict[str, Any]:
    return {
        "sessionId": str(session.pk),
        "name": session.name,
        "status": session.state,
        "connected": session.state == Session.State.CONNECTED,
        "phone": session.phone,
        "detail": session.state_detail,
    }


def _accepted(message: Message) -> dict[str, Any]:
    """`delay`: milliseconds until it will probably go out; null while its session cannot send."""
    estimate = estimates.of_accepted(message=message)
    return {
        "messageId": str(message.pk),
        "sessionId": str(message.session_id),
        "status": message.status,
        "delay": estimate.delay_ms,
        "estimated_send_at": estimate.send_at,
    }
