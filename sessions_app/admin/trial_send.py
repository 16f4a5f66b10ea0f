"""A test message from a session's page: the same `enqueue` as the API's, then the message's own page."""

import hashlib
import json
import uuid

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from sessions_app.admin.styled import styled
from sessions_app.admin.verbs import VerbsAdmin
from sessions_app.errors import DomainError
from sessions_app.models import Session
from sessions_app.models.messages import MAX_BODY_CHARACTERS
from sessions_app.services import messages as message_service


class TrialForm(forms.Form):
    to = forms.CharField(label="Number", max_length=40, help_text="With country code, as in +49 151 12345678.")
    body = forms.CharField(label="Text", max_length=MAX_BODY_CHARACTERS, widget=forms.Textarea(attrs={"rows": 4}))
    page = forms.UUIDField(initial=uuid.uuid4, widget=forms.HiddenInput(attrs={"autocomplete": "off"}))

    def once(self) -> bytes:
        """The same for a second click; another when the page was opened anew, or somebody went back and wrote something else."""
        sent = [str(self.cleaned_data[name]) for name in ("page", "to", "body")]
        return hashlib.sha256(json.dumps(sent).encode()).digest()


def urls(owner: VerbsAdmin[Session]) -> list[URLPattern]:
    view = owner.admin_site.admin_view(TrialPage(owner).page)
    return [path("<uuid:pk>/test-send/", view, name="sessions_app_session_test_send")]


class TrialPage:
    def __init__(self, owner: VerbsAdmin[Session]) -> None:
        self._admin = owner

    def page(self, request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
        session = self._admin.visible(request, pk)
        if not self._admin.may_manage(request, session):
            raise PermissionDenied
        form = TrialForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            sent = self._send(request, session, form)
            if sent:
                return sent
        return self._show(request, session, form)

    def _send(self, request: HttpRequest, session: Session, form: TrialForm) -> HttpResponse | None:
        to, body, once = form.cleaned_data["to"], form.cleaned_data["body"], form.once()
        try:
            made = message_service.enqueue(
                session=session, to=to, body=body, idempotency_key=f"admin:{once.hex()}", fingerprint=once
            )
        except DomainError as error:
            form.add_error("to" if error.code == "invalid_phone" else None, str(error))
            return None
        if not made.replayed:
            self._admin.log_change(request, session, "Sent a test message.")
        return HttpResponseRedirect(reverse("admin:sessions_app_message_change", args=[made.message.pk]))

    def _show(self, request: HttpRequest, session: Session, form: TrialForm) -> HttpResponse:
        context = {
            **self._admin.admin_site.each_context(request),
            "opts": self._admin.opts,
            "original": session,
            "session": session,
            "title": f"Send a test message: {session.name}",
            "form": styled(form),
            "connected": session.state == Session.State.CONNECTED,
            "back": self._admin.change_url(session),
        }
        return TemplateResponse(request, "sessions_app/admin/test_send.html", context)
