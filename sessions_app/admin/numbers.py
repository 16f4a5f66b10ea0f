"""What somebody means who searches for a number."""

from django.http import HttpRequest

from sessions_app.admin.grants import grants_of
from sessions_app.errors import InvalidPhone
from sessions_app.models import Restaurant
from sessions_app.services import phones


def meant(request: HttpRequest, term: str) -> list[str]:
    """The numbers these digits may mean: international, or as dialled in a region of the person's restaurants."""
    return sorted({number for region in [None, *_regions(request)] if (number := _number(term, region))})


def _regions(request: HttpRequest) -> list[str]:
    """How a number without its country code may be meant."""
    grants = grants_of(request)
    rows = Restaurant.objects.all() if grants.everything else Restaurant.objects.filter(pk__in=grants.readable)
    return list(rows.order_by("default_region").values_list("default_region", flat=True).distinct()[:20])


def _number(term: str, region: str | None) -> str:
    try:
        return phones.normalise(term if region or term.startswith("+") else f"+{term}", region or "ZZ")
    except InvalidPhone:
        return ""
