"""What starts programs of its own goes first, so that a run that is spread over processes does not end with one of them waiting
for the other."""

import pytest

from restaurant_wa.local.places import BASE_DIR

FIRST = ("bridge", "chaos", "acceptance", "local", "workers", "admin", "api")  # directories; the others take seconds


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    directory = item.path.relative_to(BASE_DIR / "tests").parts[0] if item.path.is_relative_to(BASE_DIR / "tests") else ""
    return FIRST.index(directory) if directory in FIRST else len(FIRST)
