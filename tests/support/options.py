"""What a test run may be asked for: more of it, and the same dice again."""

import pytest

LONG_ROUNDS = 3


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the chaos tests in full: outages in their full length, every scenario")
    parser.addoption("--rounds", type=int, help=f"how often each chaos test throws its dice: {LONG_ROUNDS} with --long, else 1")
    parser.addoption("--seed", type=int, help="the seed of a failed chaos test, as its report shows it")


def rounds(config: pytest.Config) -> int:
    given: int | None = config.getoption("--rounds")
    if given is not None and given < 1:
        raise pytest.UsageError("--rounds must be 1 or more")
    return given or (LONG_ROUNDS if config.getoption("--long") else 1)
