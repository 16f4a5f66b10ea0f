"""What the admin's templates cannot say themselves."""

from datetime import datetime

from django import template
from django.conf import settings
from django.utils.safestring import SafeString

from sessions_app.admin.markup import badge, moment
from sessions_app.admin.words import pretty_phone, session_badge
from sessions_app.models import Session

register = template.Library()
register.filter("pretty_phone", pretty_phone)


@register.filter
def moment_of(at: datetime | None) -> SafeString | str:
    return moment(at)


@register.filter
def state_badge(session: Session) -> SafeString:
    return badge(session_badge(session.state, session.state_reason))


@register.inclusion_tag("sessions_app/admin/network_notice.html")
def network_notice() -> dict[str, str]:
    """Says on every page whether messages reach the real WhatsApp."""
    return {"phones_url": settings.SIMULATOR_URL}
