"""Small pieces of HTML for lists and pages; everything that came from outside is escaped by `format_html`."""

from datetime import datetime

from django.db.models import Model
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sessions_app.admin.words import Badge, ago


def badge(shown: Badge) -> SafeString:
    return format_html('<span class="rw-badge rw-{}" title="{}">{}</span>', shown.tone, shown.hint, shown.text)


def badge_and_why(shown: Badge, why: str, hint: str = "") -> SafeString:
    """With a second line, when there is something to say."""
    if not why:
        return badge(shown)
    return format_html('<span class="rw-two rw-why">{}<small title="{}">{}</small></span>', badge(shown), hint, why)


def moment(at: datetime | None) -> SafeString | str:
    """How long ago, with the exact time as the hint."""
    if at is None:
        return "–"
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>', at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S}", ago(at, timezone.now())
    )


def link_to(obj: Model | None) -> SafeString | str:
    if obj is None:
        return "–"
    url = reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])
    return format_html('<a class="rw-link" href="{}">{}</a>', url, obj)


def two_lines(first: object, second: object) -> SafeString:
    return format_html('<span class="rw-two"><b>{}</b><small>{}</small></span>', first, second)
