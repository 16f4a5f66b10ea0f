"""`docs/legacy-parity.md` names tests that exist; a renamed one is renamed there, too."""

import re

from restaurant_wa.local.places import BASE_DIR, BRIDGE_DIR

TEXT = (BASE_DIR / "docs" / "legacy-parity.md").read_text()
ROWS = re.findall(r"^\| (\d+) \|.*\| (.*) \|$", TEXT, re.MULTILINE)
PYTHON = re.findall(r"`([\w/]+\.py)::(\w+)`", TEXT)
NODE = re.findall(r'`([\w-]+\.test\.js)` "([^"]+)"', TEXT)


def test_every_row_is_there_and_has_a_test_or_is_open() -> None:
    assert [int(number) for number, _ in ROWS] == list(range(1, 30))
    assert all("`" in shown or "Open:" in shown for _, shown in ROWS)


def test_every_test_it_names_exists() -> None:
    missing = [name for name in PYTHON if f"def {name[1]}(" not in (BASE_DIR / "tests" / name[0]).read_text()]
    for file, title in NODE:
        if not re.search(r"\b(it|test)\(['\"`]" + re.escape(title), (BRIDGE_DIR / "test" / file).read_text()):
            missing.append((file, title))
    assert missing == []
    assert TEXT.count("::") + TEXT.count(".test.js`") == len(PYTHON) + len(NODE), "a name that is not written as the others are"
