"""`.env.example` lists every name that is read, and no other."""

import re

from restaurant_wa.local.places import BASE_DIR

# Read by the bridge under the worker's hand, by compose, or as an alias told in a comment.
ELSEWHERE = {"POSTGRES_PASSWORD", "BRIDGE_DATABASE_PASSWORD", "VALKEY_PASSWORD", "WEB_BIND", "WORKERS"}
NOT_FOR_PEOPLE = {"RESTAURANT_WA_IGNORE_DOTENV", "FASTAPI_URL", "BRIDGE_EXIT_WITH_PARENT"}


def test_it_lists_every_name() -> None:
    settings = (BASE_DIR / "restaurant_wa" / "settings.py").read_text()
    bridge = (BASE_DIR / "node_bridge" / "src" / "config.js").read_text()
    read = set(re.findall(r'env\.[a-z_]+\(\s*"([A-Z_]+)"', settings)) | set(re.findall(r"'([A-Z]+_[A-Z_]+)'", bridge))
    read |= set(re.findall(r"env\.([A-Z_]{4,})", bridge))
    example = set(re.findall(r"^#? ?([A-Z_]+)=", (BASE_DIR / ".env.example").read_text(), re.MULTILINE))
    assert example == (read - NOT_FOR_PEOPLE) | ELSEWHERE


def test_it_holds_no_secret() -> None:
    text = (BASE_DIR / ".env.example").read_text()
    assert re.findall(r"^(?!#)[A-Z_]+=.+$", text, re.MULTILINE) == []


def test_it_says_where_compose_has_another_default() -> None:
    example = (BASE_DIR / ".env.example").read_text()
    compose = (BASE_DIR / "docker-compose.yml").read_text()
    theirs = dict(re.findall(r"^ +([A-Z_]+): \$\{\1:-([^}]*)\}", compose, re.MULTILINE))
    for comment, assignments in re.findall(r"((?:^#(?! [A-Z_]+=).*\n)*)((?:^#? ?[A-Z_]+=.*\n)+)", example, re.MULTILINE):
        other = [name for name, ours in re.findall(r"([A-Z_]+)=(.*)", assignments) if theirs.pop(name, ours) != ours]
        assert not other or "compose" in comment, other
    assert not theirs
