"""The names that the service before this one read from its environment."""

import json
import os
import subprocess
import sys

from restaurant_wa.local.places import BASE_DIR

OLD = {
    "WHATSAPP_PORT": "8123",
    "FASTAPI_URL": "http://web.example:8000",
    "WHATSAPP_SECRET": "the-old-secret-of-the-old-service",
    "DATABASE_URL": "postgresql://user:pass@db.example:5433/old",
}
ASK = """
import json
from restaurant_wa import settings
database = settings.DATABASES["default"]
print(json.dumps([settings.WHATSAPP_PORT, settings.WEB_URL, settings.WHATSAPP_SECRET, database["HOST"], database["PORT"],
                  database["NAME"], settings.BRIDGE_DATABASE_URL]))
"""


def settings_under(**changes: str) -> list[object]:
    kept = {name: value for name, value in os.environ.items() if name not in {*OLD, "WEB_URL", "BRIDGE_DATABASE_URL"}}
    env = kept | {"RESTAURANT_WA_IGNORE_DOTENV": "1"} | changes
    done = subprocess.run(
        [sys.executable, "-c", ASK], cwd=BASE_DIR, env=env, capture_output=True, text=True, timeout=60, check=True
    )
    found: list[object] = json.loads(done.stdout)
    return found


def test_they_still_work() -> None:
    assert settings_under(**OLD) == [
        8123, OLD["FASTAPI_URL"], OLD["WHATSAPP_SECRET"], "db.example", 5433, "old", OLD["DATABASE_URL"],
    ]  # fmt: skip


def test_the_new_name_wins() -> None:
    assert settings_under(**OLD, WEB_URL="http://new.example")[1] == "http://new.example"


def test_each_has_a_default() -> None:
    port, url, secret, host, *_ = settings_under()
    assert (port, url, host) == (8002, "http://127.0.0.1:8000", "127.0.0.1")
    assert secret == "insecure-development-secret", "which no program takes in production"
