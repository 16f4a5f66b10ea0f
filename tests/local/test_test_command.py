"""`manage.py test`: what it hands to pytest."""

from sessions_app.management.commands.test import arguments


def test_the_whole_run_measures_coverage_and_is_spread_over_processes() -> None:
    given = arguments([])
    assert "--cov" in given and given[:1] == ["-n"] and int(given[1]) >= 1


def test_a_chosen_part_runs_as_it_was_asked_for() -> None:
    assert arguments(["tests/api", "-x"]) == ["tests/api", "-x"]
