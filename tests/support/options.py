"""What a test run may be asked for: more of it, and the same dice again."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the chaos tests in full: longer outages, every scenario, three rounds")
    parser.addoption("--seed", type=int, help="the seed of a failed chaos test, as its report shows it")
