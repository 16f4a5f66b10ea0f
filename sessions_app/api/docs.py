"""The page to read and try the API on: Ninja's, from this server alone."""

import json
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from ninja import NinjaAPI
from ninja.openapi.docs import Swagger


class Docs(Swagger):
    """Ninja itself serves it from here only where it is an installed application, which brings pydantic into every worker."""

    def __init__(self) -> None:
        # No validator: the page's badge would send the description to a server outside.
        super().__init__(settings={"validatorUrl": None, "persistAuthorization": False})

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        settings = self.settings | {"url": self.get_openapi_url(api, kwargs)}
        return render(request, self.template, {"swagger_settings": json.dumps(settings, indent=1), "api": api})
