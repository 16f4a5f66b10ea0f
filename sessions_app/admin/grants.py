"""Who may see and who may change what: the one place where the admin asks."""

import uuid
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from django.http import HttpRequest

from sessions_app.models import Membership


@dataclass(frozen=True)
class Grants:
    """What one person may do. `everything` is the superuser's; nobody else sees a restaurant without a membership."""

    everything: bool
    readable: frozenset[uuid.UUID] = frozenset()
    manageable: frozenset[uuid.UUID] = frozenset()

    def may_view(self, restaurant: uuid.UUID) -> bool:
        return self.everything or restaurant in self.readable

    def may_change(self, restaurant: uuid.UUID) -> bool:
        return self.everything or restaurant in self.manageable


NOTHING = Grants(everything=False)
# One look at the memberships serves a whole request, and dies with it.
_asked: WeakKeyDictionary[HttpRequest, Grants] = WeakKeyDictionary()


def grants_of(request: HttpRequest) -> Grants:
    if request not in _asked:
        _asked[request] = _look_up(request)
    return _asked[request]


def _look_up(request: HttpRequest) -> Grants:
    user = request.user
    if not (user.is_authenticated and user.is_active and user.is_staff):
        return NOTHING
    if user.is_superuser:
        return Grants(everything=True)
    roles = dict(Membership.objects.filter(user=user).values_list("restaurant_id", "role"))
    managers = (restaurant for restaurant, role in roles.items() if role == Membership.Role.MANAGER)
    return Grants(everything=False, readable=frozenset(roles), manageable=frozenset(managers))
