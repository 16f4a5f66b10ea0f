"""POST, GET and DELETE sessions, and what can be asked of one. Everything asked is done by the session's worker, soon."""

import base64
from uuid import UUID

from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Body, Query, Router
from pydantic import BaseModel

from sessions_app.api import cursors, qr, session_schemas
from sessions_app.api.auth import actor_of, needs, restaurant_of
from sessions_app.api.errors import blaming
from sessions_app.api.openapi import reading, writing
from sessions_app.api.queries import check_query
from sessions_app.api.session_schemas import (
    LinkByCode,
    LinkIn,
    QrOut,
    SessionIn,
    SessionLimits,
    SessionOut,
    SessionPage,
    SessionStatus,
)
from sessions_app.errors import InvalidPhone
from sessions_app.models import ApiKey, Message, Session, Worker
from sessions_app.services import estimates, messages, outlook, qr_codes, risk, sessions

router = Router()

_read = needs(ApiKey.Scope.SESSIONS_READ)
_write = needs(ApiKey.Scope.SESSIONS_WRITE)
_PNG = reading(404)
_PNG["responses"][200] = {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}


class SessionFilters(BaseModel):
    cursor: cursors.IdCursor | None = None
    limit: cursors.Limit = 50


@router.post("", auth=_write, response={201: SessionOut}, openapi_extra=writing(409))
def create_session(request: HttpRequest, response: HttpResponse, session: SessionIn) -> SessionOut:
    """A new session without a number; link one with `POST …/link`."""
    made = sessions.create(restaurant=restaurant_of(request), name=session.name, actor=actor_of(request))
    response["Location"] = reverse("api:get_session", args=[made.pk])
    return session_schemas.out(made)


@router.get("", auth=_read, response={200: SessionPage}, openapi_extra=reading(422))
def list_sessions(request: HttpRequest, filters: Query[SessionFilters]) -> SessionPage:
    """The oldest first."""
    check_query(request, SessionFilters.model_fields)
    found = Session.objects.filter(restaurant=restaurant_of(request), deleted_at=None).order_by("id")
    if filters.cursor is not None:
        found = found.filter(pk__gt=cursors.id(filters.cursor))
    shown, more = cursors.page(found, filters.limit, lambda session: cursors.of_id(session.pk))
    return SessionPage(items=[session_schemas.out(session) for session in shown], next_cursor=more)


@router.get("/{id:session_id}", auth=_read, response={200: SessionOut}, openapi_extra=reading(404))
def get_session(request: HttpRequest, session_id: UUID) -> SessionOut:
    """The session: what is wanted of it, and what is true of it."""
    return session_schemas.out(_own(request, session_id))


@router.get("/{id:session_id}/status", auth=_read, response={200: SessionStatus}, openapi_extra=reading(404))
def get_session_status(request: HttpRequest, session_id: UUID) -> SessionStatus:
    """The session, what its linking waits for, and its queue. Ask every second or two while linking."""
    session = _own(request, session_id)
    waiting = Message.objects.filter(session=session, status=Message.Status.QUEUED)
    return session_schemas.status(
        session,
        qr_available=qr_codes.is_shown(session),
        pairing_code=session.pairing_code,
        has_worker=Worker.objects.filter(sessions=session, expires_at__gt=Now()).exists(),
        waiting=waiting.order_by()[: estimates.MAX_COUNTED + 1].count(),
        oldest_waiting_at=messages.oldest_waiting_at(session=session),
    )


@router.get("/{id:session_id}/limits", auth=_read, response={200: SessionLimits}, openapi_extra=reading(404))
def get_session_limits(request: HttpRequest, session_id: UUID) -> SessionLimits:
    """What the number may send today and what holds it, and how likely WhatsApp is to restrict it."""
    session = _own(request, session_id)
    known = outlook.of_session(session)
    return session_schemas.limits(known, risk.of_session(session, known))


@router.get("/{id:session_id}/qr", auth=_write, response={200: QrOut}, openapi_extra=_PNG)
def get_qr(request: HttpRequest, session_id: UUID) -> QrOut | HttpResponse:
    """The QR code to scan: JSON, or the picture itself with `Accept: image/png`. 404 while none is shown.

    For `sessions:write`: whoever sees the code can link a phone of their own.
    """
    shown = qr.shown(_own(request, session_id))
    if _wants_picture(request):
        return HttpResponse(base64.b64decode(shown.image), content_type="image/png")
    return shown


@router.post("/{id:session_id}/link", auth=_write, response={202: SessionOut}, openapi_extra=writing(404, 409))
def link_session(request: HttpRequest, session_id: UUID, link: Body[LinkIn]) -> SessionOut:
    """Start linking a number: `…/qr` shows the code to scan, `…/status` the pairing code to type."""
    session = _own(request, session_id)
    with blaming(InvalidPhone, "body", "phone"):
        phone = link.phone if isinstance(link, LinkByCode) else ""
        return session_schemas.out(sessions.link(session=session, phone=phone, actor=actor_of(request)))


@router.post("/{id:session_id}/restart", auth=_write, response={202: SessionOut}, openapi_extra=reading(404, 409))
def restart_session(request: HttpRequest, session_id: UUID) -> SessionOut:
    """Close the connection and make it anew; the link stays."""
    return session_schemas.out(sessions.restart(session=_own(request, session_id), actor=actor_of(request)))


@router.post("/{id:session_id}/stop", auth=_write, response={202: SessionOut}, openapi_extra=reading(404, 409))
def stop_session(request: HttpRequest, session_id: UUID) -> SessionOut:
    """Keep it linked, but offline; its messages wait."""
    return session_schemas.out(sessions.stop(session=_own(request, session_id), actor=actor_of(request)))


@router.post("/{id:session_id}/start", auth=_write, response={202: SessionOut}, openapi_extra=reading(404, 409))
def start_session(request: HttpRequest, session_id: UUID) -> SessionOut:
    """Connect a stopped session again."""
    return session_schemas.out(sessions.start(session=_own(request, session_id), actor=actor_of(request)))


@router.post("/{id:session_id}/log-out", auth=_write, response={202: SessionOut}, openapi_extra=reading(404))
def log_out_session(request: HttpRequest, session_id: UUID) -> SessionOut:
    """Remove this device from the phone; while linking, stop that. Messages wait for the next number."""
    return session_schemas.out(sessions.log_out(session=_own(request, session_id), actor=actor_of(request)))


@router.delete("/{id:session_id}", auth=_write, response={204: None}, openapi_extra=reading(404))
def delete_session(request: HttpRequest, session_id: UUID) -> None:
    """Log out and remove the session; what waits in it is canceled, its messages stay readable."""
    sessions.delete(session=_own(request, session_id), actor=actor_of(request))


def _wants_picture(request: HttpRequest) -> bool:
    try:
        return request.get_preferred_type(["application/json", "image/png"]) == "image/png"
    except Exception:  # Django trips over some parameters of an Accept
        return False


def _own(request: HttpRequest, session_id: UUID) -> Session:
    return sessions.get(restaurant=restaurant_of(request), session_id=session_id)
