"""Every address the web process answers."""

from django.conf import settings
from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from sessions_app.api import api, internal_urls, legacy_urls, metrics_urls, probe_urls, root

admin.autodiscover()

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("admin/", admin.site.urls),
    path("api/v1/", root),
    path("api/v1/", api.urls),
    *internal_urls,
    *(legacy_urls if settings.LEGACY_ROUTES else []),  # before the probes: both answer /health
    *probe_urls,
    *metrics_urls,
]
