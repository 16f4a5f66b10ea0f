"""`manage.py demo`: an administrator, and restaurants to try things with. Running it again changes nothing that is there."""

import json
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from restaurant_wa.local.demo import CUSTOMERS, LINKED, LIVE, PLACES, Place, link
from restaurant_wa.local.vault import write_private
from restaurant_wa.local.virtual_phones import Refused, VirtualPhones
from sessions_app.models import Restaurant, Session
from sessions_app.services import api_keys, sessions

ADMIN = "admin"
KEY_NAME = "Demonstration"


class Command(BaseCommand):
    help = "Make an administrator and demonstration restaurants; with a simulated network, link the first one to a virtual phone."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--state", type=Path, required=True, help="JSON file that keeps the API key between runs")

    def handle(self, *, state: Path, **_: object) -> None:
        password = os.environ.get("DEMO_ADMIN_PASSWORD", "")
        if not password:
            raise CommandError("Set DEMO_ADMIN_PASSWORD.")
        live = not settings.SIMULATOR_URL
        made = [_session(place) for place in ((LIVE,) if live else PLACES)]
        kept = json.loads(state.read_text()) if state.exists() else {}
        content = _facts(made[0].restaurant, kept.get("api_key", "")) | {"admin": _admin(password)}
        write_private(state, json.dumps(content | _network(made, live=live)))
        if not live:
            self._link(made[0])

    def _link(self, session: Session) -> None:
        try:
            phones = VirtualPhones(settings.SIMULATOR_URL)
            for number, name in (*((place.number, place.restaurant) for place in PLACES), *CUSTOMERS):
                phones.make(number, name)
            link(session, number=LINKED.number, phones=phones)
        except (Refused, OSError, TimeoutError) as error:
            raise CommandError(f"The demonstration could not be linked: {error}") from error


def _admin(password: str) -> dict[str, str]:
    users = get_user_model().objects
    admin = users.filter(username=ADMIN).first() or users.create_superuser(ADMIN, "", password)
    return {"username": ADMIN, "password": password if admin.check_password(password) else "(changed by you)"}


def _session(place: Place) -> Session:
    restaurant, _ = Restaurant.objects.get_or_create(
        name=place.restaurant, defaults={"time_zone": "Europe/Berlin", "default_region": "DE"}
    )
    found = (
        Session.objects.select_related("restaurant").filter(restaurant=restaurant, deleted_at=None).order_by("created_at").first()
    )
    return found or sessions.create(restaurant=restaurant, name=place.session)


def _facts(restaurant: Restaurant, key: str) -> dict[str, Any]:
    known = api_keys.authenticate(token=key) if key else None
    if known is None or known.restaurant_id != restaurant.pk:
        _, key = api_keys.issue(restaurant=restaurant, name=KEY_NAME)
    return {"api_key": key, "restaurant": str(restaurant.pk), "restaurant_name": restaurant.name}


def _network(made: list[Session], *, live: bool) -> dict[str, Any]:
    by_hand = made[-1]
    return {
        "sessions": [{"id": str(session.pk), "restaurant": session.restaurant.name} for session in made],
        "to_link": f"{by_hand.restaurant.name}, session “{by_hand.name}” (admin, Sessions)",
        "customers": [] if live else [{"phone": number, "name": name} for number, name in CUSTOMERS],
        "example_to": CUSTOMERS[0][0],
    }
