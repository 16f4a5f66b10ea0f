"""Keeps the record of `policy.quarantine`: who was about when a bridge died, and who may log in beside whom."""

from collections.abc import Callable

import structlog

from sessions_app.policy import quarantine
from sessions_app.policy.quarantine import Crowd, Doing, Known
from workers.clocks import steady
from workers.table import Owned, Table
from workers.truths import Truths

log = structlog.get_logger(__name__)


class Suspects:
    """Deaths are kept in the sessions' rows, so that they go along to the next owner."""

    def __init__(self, *, table: Table, truths: Truths) -> None:
        self.on_culprit: Callable[[Owned], None] = lambda _: None
        self._table = table
        self._truths = truths
        self._crowd = Crowd()

    def accuse(self, *, since: float, until: float) -> None:
        """The bridge has died, on its own account, between these two moments of the steady clock."""
        doing = {owned: _doing(owned) for owned in self._table}
        found = quarantine.suspects(doing, since=since, until=until)
        for owned in found:
            owned.truth.bridge_deaths += 1
            owned.proven = False
            self._truths.mark(owned)
        log.error("bridge.died", suspects=len(found), some=[str(owned.id) for owned in found][:5])
        guilty = quarantine.culprit({owned: owned.truth.bridge_deaths for owned in found})
        if guilty is not None:
            self.on_culprit(guilty)

    def survey(self) -> None:
        """Before a round of logins: who is on record, and what they do."""
        known = [owned for owned in self._table if owned.truth.bridge_deaths and owned.truth.state != "blocked"]
        for owned in known:
            owned.proven = owned.proven or _connected_for(owned) >= quarantine.YOUNG_S
        self._crowd = quarantine.crowd([_known(owned) for owned in known], steady())

    def admit(self, owned: Owned) -> bool:
        """Whether it may log in now; if so, it does."""
        if not owned.truth.bridge_deaths:
            return True
        if not quarantine.may_log_in(owned.truth.bridge_deaths, self._crowd, proven=owned.proven):
            return False
        self._crowd = self._crowd.joined()
        return True

    async def clear(self) -> None:
        """Those that have been connected for long enough."""
        for owned in self._table:
            known = owned.truth.bridge_deaths or owned.truth.crashes
            if known and _connected_for(owned) >= quarantine.CLEARED_AFTER_S:
                owned.truth.bridge_deaths = owned.truth.crashes = 0
                self._truths.mark(owned)


def _connected_for(owned: Owned) -> float:
    return 0.0 if owned.up_since is None else steady() - owned.up_since


def _doing(owned: Owned) -> Doing:
    return Doing(owned.opened_at, owned.login_ended, owned.send_began, owned.send_ended)


def _known(owned: Owned) -> Known:
    return Known(owned.truth.bridge_deaths, _doing(owned), logging_in=owned.open in ("linking", "connecting"))
