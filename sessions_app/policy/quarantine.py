"""Which session makes its bridge die, found by observation: a process that ran out of memory, hung or was killed names nobody.

Every session that was logging in when a bridge died, or else was sending, has one death more. Those without any never wait for
the others. One death may have any cause and costs next to nothing. From the second on a session has to prove itself: it logs in
with a part of its equals, the smaller the more deaths they have, and apart from all others on record. If the bridge dies then,
only that part has one death more; if not, the part is proven and waits no more. So what is the cause of deaths is soon alone with
one, and is kept apart. However many such sessions there are, it ends: after enough deaths each one is tried alone.

Times are seconds on one clock that nobody sets.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

K = TypeVar("K")
YOUNG_S = 10.0  # what a login brings along (waiting messages, history) still comes in
LONGEST_LOGIN_S = 30.0  # one that takes longer waits for an answer, and harms nobody
HEARD_LATE_S = 0.5  # a send that the death has ended may be known as ended before the death is
CLEARED_AFTER_S = 60.0  # connected for so long, it is no suspect any more
ENOUGH_ALONE = 3  # deaths
ENOUGH_AMONG_STRANGERS = 5
TOGETHER_AFTER_ONE = 8  # logins under way
PARTS = 4
MOST_TOGETHER = {3: 16, 4: 4}  # by deaths; with more of them: alone


@dataclass(frozen=True, slots=True)
class Doing:
    """A session's last login, until it was connected or over, and its last send. No beginning: never; no end: under way."""

    login_began: float | None = None
    login_ended: float | None = None
    send_began: float | None = None
    send_ended: float | None = None

    def logs_in(self, since: float, until: float) -> bool:
        """Whether it was logging in, or had just done so, at any moment between those two."""
        if self.login_began is None:
            return False
        over = self.login_began + LONGEST_LOGIN_S
        if self.login_ended is not None:
            over = min(over, self.login_ended + YOUNG_S)
        return self.login_began <= until and since <= over

    def sends(self, since: float, until: float) -> bool:
        if self.send_began is None:
            return False
        return self.send_began <= until and (self.send_ended is None or since <= self.send_ended + HEARD_LATE_S)


@dataclass(frozen=True, slots=True)
class Known:
    """A session with deaths on record."""

    deaths: int
    doing: Doing
    logging_in: bool


@dataclass(frozen=True, slots=True)
class Crowd:
    """A worker's sessions with deaths on record, as far as they matter to who may log in now."""

    logging_in: int = 0
    exposed: int = 0  # a death would count against them now: they are logging in, or have just done so
    equals: Mapping[int, int] = field(default_factory=dict)  # deaths: how many sessions have so many

    def joined(self) -> "Crowd":
        """One of them logs in."""
        return replace(self, logging_in=self.logging_in + 1, exposed=self.exposed + 1)


def crowd(known: Collection[Known], now: float) -> Crowd:
    return Crowd(
        logging_in=sum(one.logging_in for one in known),
        exposed=sum(one.doing.logs_in(now, now) for one in known),
        equals=Counter(one.deaths for one in known),
    )


def may_log_in(deaths: int, crowd: Crowd, *, proven: bool) -> bool:
    """Whether one with so many deaths may log in beside the others now. `proven`: since the last of them it has been connected
    for YOUNG_S."""
    if deaths == 0:
        return True
    if deaths == 1 or proven:
        return crowd.logging_in < TOGETHER_AFTER_ONE
    part = -(-crowd.equals.get(deaths, 1) // PARTS)
    return crowd.exposed < (part if deaths == 2 else min(part, MOST_TOGETHER.get(deaths, 1)))


def suspects(doing: Mapping[K, Doing], *, since: float, until: float) -> set[K]:
    """Against whom a death counts that happened between those two moments."""
    logging_in = {one for one, what in doing.items() if what.logs_in(since, until)}
    return logging_in or {one for one, what in doing.items() if what.sends(since, until)}


def culprit(deaths: Mapping[K, int]) -> K | None:
    """Whom to keep apart, of a death's suspects with their deaths, this one included: the only one that has another, when it has
    enough of them. Strangers, who have none and did not wait, are there by chance; yet one of them may be the cause this time."""
    known = [one for one, count in deaths.items() if count > 1]
    enough = ENOUGH_ALONE if len(deaths) == 1 else ENOUGH_AMONG_STRANGERS
    return known[0] if len(known) == 1 and deaths[known[0]] >= enough else None
