"""What a person can do to a row: a button, for some a page that asks again, one call of a service, an entry in the history."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from sessions_app.admin.base import M, TenantAdmin
from sessions_app.errors import DomainError


@dataclass(frozen=True)
class Verb(Generic[M]):
    slug: str
    label: str
    icon: str
    question: str  # on the page that asks before it is done
    done: str
    run: Callable[[M, str], object]  # the row and who asked
    offered: Callable[[M], bool]  # whether its button makes sense now; the service has the last word
    asks: bool = False
    danger: bool = False
    leaves: bool = False  # the row is gone from the admin afterwards


@dataclass(frozen=True)
class Button:
    label: str
    icon: str
    url: str
    posts: bool
    danger: bool


class VerbsAdmin(TenantAdmin[M]):
    verbs: tuple[Verb[Any], ...] = ()

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_do"
        view = self.admin_site.admin_view(self.verb_view)
        return [path("<uuid:pk>/do/<slug:slug>/", view, name=name), *super().get_urls()]

    def buttons(self, request: HttpRequest, obj: M) -> list[Button]:
        if not self.may_manage(request, obj):
            return []
        return [
            Button(label=verb.label, icon=verb.icon, url=self.verb_url(obj, verb), posts=not verb.asks, danger=verb.danger)
            for verb in self.verbs
            if verb.offered(obj)
        ]

    def verb_url(self, obj: M, verb: Verb[Any]) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_do", args=[obj.pk, verb.slug])

    def verb_view(self, request: HttpRequest, pk: uuid.UUID, slug: str) -> HttpResponse:
        """GET asks, POST does: following a link never changes anything."""
        obj = self.visible(request, pk)
        verb = next((one for one in self.verbs if one.slug == slug), None)
        if verb is None:
            raise Http404
        if not self.may_manage(request, obj):
            raise PermissionDenied
        return self.perform(request, obj, verb) if request.method == "POST" else self.ask(request, obj, verb)

    def ask(self, request: HttpRequest, obj: M, verb: Verb[Any]) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": obj,
            "title": verb.label,
            "verb": verb,
            "back": self.change_url(obj),
        }
        return TemplateResponse(request, "sessions_app/admin/confirm.html", context)

    def perform(self, request: HttpRequest, obj: M, verb: Verb[Any]) -> HttpResponse:
        here = self.change_url(obj)
        try:
            verb.run(obj, request.user.get_username())
        except DomainError as error:
            return self.refuse(request, error, back_to=here)
        self.log_change(request, obj, verb.done)
        messages.success(request, verb.done)
        changelist = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        return HttpResponseRedirect(changelist if verb.leaves else here)
