"""What owners do to messages in one tick: settle what came of the last claims, and claim for the sessions that are due."""

from collections.abc import Sequence
from uuid import UUID

from django.db import transaction

from sessions_app.services.claims import Claim, Due, claim
from sessions_app.services.guards import hold_alike
from sessions_app.services.holds import let_in
from sessions_app.services.settlements import Settlement, settle


@transaction.atomic
def tick(*, worker: UUID, settlements: Sequence[Settlement], due: Sequence[Due]) -> list[Claim]:
    """Settles, then claims the next message of each due session. One commit for both.

    Safe to repeat with the same settlements when nobody knows whether the commit went through.
    """
    if settlements:
        settle(worker=worker, settlements=settlements)
    if not due:
        return []
    let_in(due=due)
    claims = claim(worker=worker, due=due)
    hold_alike(claims=claims, due=due)
    return claims
