"""Whom a death is held against, who may log in beside whom, and that both together find the one that is the cause."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_app.policy.quarantine import (
    CLEARED_AFTER_S,
    ENOUGH_ALONE,
    ENOUGH_AMONG_STRANGERS,
    LONGEST_LOGIN_S,
    PARTS,
    TOGETHER_AFTER_ONE,
    YOUNG_S,
    Crowd,
    Doing,
    Known,
    crowd,
    culprit,
    may_log_in,
    suspects,
)

# --- Whom a death counts against

AT = 1_000.0
LOGIN = [
    ("never logged in", Doing(), False),
    ("logs in", Doing(AT - 1), True),
    ("has just logged in", Doing(AT - 3, AT - 2), True),
    ("has been connected for long", Doing(AT - 100, AT - 99), False),
    ("has given up just now", Doing(AT - 20, AT - 1), True),
    ("waits for an answer", Doing(AT - LONGEST_LOGIN_S - 1), False),
    ("began afterwards", Doing(AT + 0.1), False),
    ("was ended by it", Doing(AT - 3, AT + 0.2), True),
]


@pytest.mark.parametrize(("doing", "counts"), [row[1:] for row in LOGIN], ids=[row[0] for row in LOGIN])
def test_a_death_counts_against_logins_under_way_and_young_ones(doing: Doing, counts: bool) -> None:
    assert suspects({"it": doing}, since=AT, until=AT) == ({"it"} if counts else set())


def test_without_a_login_it_counts_against_those_that_were_sending() -> None:
    long_ago = Doing(AT - 500, AT - 499)
    doing = {
        "sends": replace(long_ago, send_began=AT - 1),
        "was cut by it": replace(long_ago, send_began=AT - 1, send_ended=AT + 0.01),
        "known as cut before the death was": replace(long_ago, send_began=AT - 1, send_ended=AT - 0.1),
        "has sent": replace(long_ago, send_began=AT - 5, send_ended=AT - 3),
        "sent afterwards": replace(long_ago, send_began=AT + 0.1),
        "idle": long_ago,
    }
    assert suspects(doing, since=AT, until=AT) == {"sends", "was cut by it", "known as cut before the death was"}
    assert suspects({**doing, "logs in": Doing(AT - 1)}, since=AT, until=AT) == {"logs in"}


def test_a_process_that_hung_for_long_is_held_against_those_that_logged_in_when_it_began() -> None:
    before, when, after = Doing(AT - 60, AT - 59), Doing(AT + 0.5), Doing(AT + 9)
    assert suspects({"before": before, "when": when, "after": after}, since=AT, until=AT + 2) == {"when"}


times = st.none() | st.floats(0, 200)
doings = st.builds(Doing, times, times, times, times)


@given(st.dictionaries(st.integers(), doings), st.floats(0, 200), st.floats(0, 50))
def test_suspects_are_some_of_the_sessions_and_a_longer_doubt_finds_no_fewer_logins(
    doing: dict[int, Doing], since: float, longer: float
) -> None:
    found = suspects(doing, since=since, until=since)
    assert found <= doing.keys()
    if any(doing[one].logs_in(since, since) for one in found):
        assert found <= suspects(doing, since=since, until=since + longer)


# --- Whom to keep apart


@given(st.dictionaries(st.integers(), st.integers(1, 9)))
def test_only_one_is_ever_kept_apart_and_only_when_no_other_could_be_the_cause(deaths: dict[int, int]) -> None:
    guilty = culprit(deaths)
    known = {one for one, count in deaths.items() if count > 1}
    assert guilty in (known if len(known) == 1 else {None}) | {None}
    if guilty is not None:
        assert deaths[guilty] >= ENOUGH_ALONE


@given(st.integers(1, 9), st.integers(0, 3))
def test_it_takes_three_deaths_alone_and_more_among_strangers(count: int, strangers: int) -> None:
    others = {f"stranger {n}": 1 for n in range(strangers)}
    enough = ENOUGH_AMONG_STRANGERS if strangers else ENOUGH_ALONE
    assert culprit({"it": count, **others}) == ("it" if count >= enough else None)


# --- Who may log in

crowds = st.builds(Crowd, st.integers(0, 100), st.integers(0, 100), st.dictionaries(st.integers(1, 9), st.integers(1, 100)))


@given(crowds)
def test_those_without_a_death_never_wait(others: Crowd) -> None:
    assert may_log_in(0, others, proven=False)


@given(st.integers(1, 9), crowds, st.booleans())
def test_the_more_are_logging_in_the_less_may_another(deaths: int, others: Crowd, proven: bool) -> None:
    if not may_log_in(deaths, others, proven=proven):
        assert not may_log_in(deaths, others.joined(), proven=proven)


@given(st.integers(1, 9), crowds)
def test_one_that_is_alone_may_always(deaths: int, others: Crowd) -> None:
    assert may_log_in(deaths, replace(others, logging_in=0, exposed=0), proven=False)


@pytest.mark.parametrize(("deaths", "proven"), [(1, False), (2, True), (9, True)])
def test_after_one_death_and_when_proven_eight_log_in_at_a_time_and_wait_for_nobody_who_has(deaths: int, proven: bool) -> None:
    assert may_log_in(deaths, Crowd(TOGETHER_AFTER_ONE - 1, 50, {deaths: 50}), proven=proven)
    assert not may_log_in(deaths, Crowd(TOGETHER_AFTER_ONE, 50, {deaths: 50}), proven=proven)


@pytest.mark.parametrize(
    ("deaths", "together"), [(2, {1: 1, 4: 1, 5: 2, 200: 50}), (3, {4: 1, 50: 13, 200: 16}), (4, {13: 4, 200: 4}), (5, {200: 1})]
)
def test_the_more_deaths_the_fewer_together(deaths: int, together: dict[int, int]) -> None:
    """Of so many with as many deaths."""
    crowds = {many: [Crowd(0, exposed, {deaths: many}) for exposed in range(100)] for many in together}
    assert {many: sum(may_log_in(deaths, one, proven=False) for one in crowds[many]) for many in together} == together


# --- Both together, on a bridge that a poison session kills whenever it logs in

STEP_S, RESTART_S, MOST_AT_ONCE = 0.25, 1.0, 16


@dataclass
class One:
    kills_after_s: float | None = None
    connected_after_s: float = 0.5
    deaths: int = 0
    proven: bool = False
    began: float | None = None
    ended: float | None = None
    open: bool = False
    apart: bool = False

    @property
    def doing(self) -> Doing:
        return Doing(self.began, self.ended)


@dataclass
class World:
    """A worker with its bridge, in steps of time."""

    sessions: list[One]
    now: float = 0.0
    up_at: float = 0.0
    deaths: int = 0

    def step(self) -> None:
        self.now += STEP_S
        for one in self.sessions:
            if one.open and one.ended is None and one.began is not None and one.began + one.connected_after_s <= self.now:
                one.ended = self.now
            if one.open and one.ended is not None:
                one.proven = one.proven or self.now - one.ended >= YOUNG_S
                one.deaths = 0 if self.now - one.ended >= CLEARED_AFTER_S else one.deaths
        if any(self._kills(one) for one in self.sessions):
            self.die()
        elif self.now >= self.up_at:
            self._log_in()

    def _kills(self, one: One) -> bool:
        return one.open and one.kills_after_s is not None and one.began is not None and self.now - one.began >= one.kills_after_s

    def die(self) -> None:
        self.deaths += 1
        found = suspects({at: one.doing for at, one in enumerate(self.sessions)}, since=self.now, until=self.now)
        for at in found:
            self.sessions[at].deaths += 1
            self.sessions[at].proven = False
        guilty = culprit({at: self.sessions[at].deaths for at in found})
        for at, one in enumerate(self.sessions):
            one.open, one.apart = False, one.apart or at == guilty
            one.ended = self.now if one.ended is None else one.ended
        self.up_at = self.now + RESTART_S

    def _log_in(self) -> None:
        others = crowd([Known(one.deaths, one.doing, one.open and one.ended is None) for one in self._known()], self.now)
        waiting = sorted((one for one in self.sessions if not one.open and not one.apart), key=lambda one: one.deaths)
        for one in waiting:
            if sum(each.open and each.ended is None for each in self.sessions) >= MOST_AT_ONCE:
                return
            if may_log_in(one.deaths, others, proven=one.proven):
                others = others.joined() if one.deaths else others
                one.began, one.ended, one.open = self.now, None, True

    def _known(self) -> list[One]:
        return [one for one in self.sessions if one.deaths and not one.apart]

    def back(self) -> bool:
        return all(one.apart or (one.open and one.ended is not None) for one in self.sessions)

    def run(self, until: Callable[[], bool], *, at_most_s: float = 7_200) -> None:
        give_up_at = self.now + at_most_s
        while not until():
            assert self.now < give_up_at
            self.step()


seeds = st.builds(Random, st.integers(0, 1 << 32))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 120), st.floats(0.1, YOUNG_S - 1), seeds)
def test_a_poison_session_is_found_and_nobody_else(many: int, kills_after_s: float, dice: Random) -> None:
    sessions = [One(connected_after_s=dice.uniform(0.2, 2)) for _ in range(many)]
    poison = dice.choice(sessions)
    poison.kills_after_s = kills_after_s
    world = World(sessions)
    world.run(lambda: poison.apart and world.back())
    assert [one for one in sessions if one.apart] == [poison]
    assert world.deaths <= 3 + math.ceil(math.log(many, PARTS))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(2, 6), seeds)
def test_several_poison_sessions_are_found_and_nobody_else(many: int, poisons: int, dice: Random) -> None:
    sessions = [One() for _ in range(many)]
    poison = dice.sample(sessions, min(many, poisons))
    for one in poison:
        one.kills_after_s = dice.uniform(0.1, 3)
    world = World(sessions)
    world.run(lambda: all(one.apart for one in poison) and world.back())
    assert sum(one.apart for one in sessions) == len(poison)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 100), st.floats(0, 30))
def test_one_death_by_an_operators_hand_costs_the_sessions_seconds_whenever_it_comes(many: int, at_s: float) -> None:
    sessions = [One() for _ in range(many)]
    undisturbed, world = World([One() for _ in range(many)]), World(sessions)
    undisturbed.run(undisturbed.back)
    while world.now < at_s:
        world.step()
    world.die()
    world.run(world.back)
    assert world.now - at_s - RESTART_S <= 3 * undisturbed.now + 1
    assert not any(one.apart for one in sessions)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.lists(st.floats(0.5, 20), min_size=3, max_size=8))
def test_a_bridge_killed_again_and_again_keeps_nobody_apart_while_several_are_about(many: int, pauses: list[float]) -> None:
    """As by an operator: no session is the cause. One alone can still be taken for it, which the next test says plainly."""
    world = World([One() for _ in range(many)])
    for pause in pauses:
        until = world.now + pause
        while world.now < until:
            world.step()
        exposed = [one for one in world.sessions if one.deaths and one.doing.logs_in(world.now, world.now)]
        apart = sum(one.apart for one in world.sessions)
        world.die()
        if len(exposed) != 1:
            assert sum(one.apart for one in world.sessions) == apart


def test_an_only_session_whose_bridge_dies_three_times_is_taken_for_the_cause() -> None:
    world = World([One()])
    for _ in range(ENOUGH_ALONE):
        world.run(world.back)
        world.die()
    assert world.sessions[0].apart
