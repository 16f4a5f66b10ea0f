"""The live link page: shows a QR code or a pairing code until a phone has taken it, and says what is going on meanwhile.

The page polls `link/state/`, which renders the same fragment as the page itself. An unchanged fragment costs a 304: neither
QR nor template is rendered. Opening the page changes nothing; its buttons post to `link/`.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast
from urllib.parse import quote

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache

from sessions_app.admin.link_state import link_view
from sessions_app.admin.link_words import LinkView
from sessions_app.admin.qr_image import qr_svg
from sessions_app.admin.queries import usable_worker_exists
from sessions_app.admin.verbs import VerbsAdmin
from sessions_app.errors import DomainError, InvalidPhone
from sessions_app.models import Session
from sessions_app.services import sessions


def urls(owner: VerbsAdmin[Session]) -> list[URLPattern]:
    pages = LinkPages(owner)
    return [
        path("<uuid:pk>/link/", owner.admin_site.admin_view(pages.page), name="sessions_app_session_link"),
        # Not behind `admin_view`: that answers a signed-out poll with a redirect to a login form.
        path("<uuid:pk>/link/state/", never_cache(pages.state), name="sessions_app_session_link_state"),
    ]


def redirect_to(session: Session) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:sessions_app_session_link", args=[session.pk]))


class LinkPages:
    def __init__(self, owner: VerbsAdmin[Session]) -> None:
        self._admin = owner

    def page(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        session = self._session(request, pk)
        if request.method == "POST":
            return self._do(request, session)
        view = _view_of(session)
        context = {
            **self._admin.admin_site.each_context(request),
            "opts": self._admin.opts,
            "original": session,
            "session": session,
            "title": f"Link a phone: {session.name}",
            "view": view,
            "fragment": _fragment(session, view),
            "now_ms": _milliseconds_now(),
            "simulated": bool(settings.SIMULATOR_URL),
        }
        return TemplateResponse(request, "sessions_app/admin/link.html", context)

    def state(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        if not self._admin.admin_site.has_permission(request):
            return JsonResponse({"error": "signed_out"}, status=401)
        session = self._session(request, pk)
        view = _view_of(session)
        etag = f'"{view.version}"'
        answer: HttpResponse = (
            HttpResponseNotModified() if request.headers.get("If-None-Match") == etag else self._changed(session, view)
        )
        answer["ETag"] = etag
        answer["X-Now"] = str(_milliseconds_now())
        return answer

    def _changed(self, session: Session, view: LinkView) -> HttpResponse:
        return JsonResponse({"version": view.version, "phase": view.phase, "html": _fragment(session, view)})

    def _session(self, request: HttpRequest, pk: uuid.UUID) -> Session:
        """Whoever sees the code can link a phone of their own, so this page is for those who may change the session."""
        session = self._admin.visible(request, pk)
        if not self._admin.may_manage(request, session):
            raise PermissionDenied
        return session

    def _do(self, request: HttpRequest, session: Session) -> HttpResponse:
        deed = DEEDS.get(request.POST.get("do", ""))
        if deed is None:
            return HttpResponse("Unknown action.", status=400)
        try:
            deed.run(session, request.POST.get("phone", "").strip(), request.user.get_username())
        except DomainError as error:
            messages.error(request, str(error))
        else:
            self._admin.log_change(request, session, deed.said)
        return redirect_to(session)


@dataclass(frozen=True)
class Deed:
    said: str  # in the admin's history
    run: Callable[[Session, str, str], object]  # the session, the number that was typed, who asked


def _ask_for_pairing_code(session: Session, phone: str, actor: str) -> Session:
    if not phone:
        raise InvalidPhone("Enter the number of the restaurant's WhatsApp: the pairing code is made for it.")
    return sessions.link(session=session, phone=phone, actor=actor)


DEEDS = {
    "qr": Deed("Asked for a QR code", lambda session, _, actor: sessions.link(session=session, actor=actor)),
    "code": Deed("Asked for a pairing code", _ask_for_pairing_code),
    "stop": Deed("Stopped linking", lambda session, _, actor: sessions.stop_linking(session=session, actor=actor)),
}


def _view_of(session: Session) -> LinkView:
    return link_view(session, worker_alive=usable_worker_exists(), now=timezone.now())


def _fragment(session: Session, view: LinkView) -> str:
    context = {
        "session": session,
        "view": view,
        "qr_svg": qr_svg(view.qr) if view.qr else "",
        "expires_ms": _milliseconds(view.expires_at.timestamp()) if view.expires_at else "",
        "scan_url": scan_url(view.qr),
        "phones_url": settings.SIMULATOR_URL,
    }
    return cast(str, render_to_string("sessions_app/admin/link_fragment.html", context))


def scan_url(qr: str) -> str:
    """The virtual phones' page with this QR already in front of the camera; empty when WhatsApp is not simulated."""
    if not settings.SIMULATOR_URL or not qr:
        return ""
    return f"{settings.SIMULATOR_URL.rstrip('/')}/?scan={quote(qr, safe='')}"


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _milliseconds_now() -> int:
    return _milliseconds(timezone.now().timestamp())
