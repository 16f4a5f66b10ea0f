"""Every address the web process answers."""

from typing import NoReturn

from django.conf import settings
from django.contrib import admin
from django.http import Http404, HttpRequest
from django.urls import path
from django.views.generic import RedirectView

from sessions_app.api import api, internal_urls, legacy_urls, metrics_urls, probe_urls, root

admin.autodiscover()


def nothing(request: HttpRequest, **_: object) -> NoReturn:
    """What Django and Unfold answer, though nothing here leads there, and with an error where they are asked oddly."""
    raise Http404


urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("admin/search/", nothing),
    path("admin/r/<path:what>", nothing),
    path("admin/", admin.site.urls),
    path("api/v1/", root),
    path("api/v1/", api.urls),
    *internal_urls,
    *(legacy_urls if settings.LEGACY_ROUTES else []),  # before the probes: both answer /health
    *probe_urls,
    *metrics_urls,
]
