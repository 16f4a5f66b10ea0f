"""Secrets of one data directory: made once, kept in files only their owner reads. The environment's own take precedence."""

import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from restaurant_wa.local.console import explain
from restaurant_wa.local.places import make_private

# The part of an installation that the applications know by an environment variable of the same name.
APPLICATION: dict[str, Callable[[], str]] = {
    "SECRET_KEY": lambda: secrets.token_urlsafe(48),
    "WHATSAPP_SECRET": lambda: secrets.token_urlsafe(32),
    "WA_ENCRYPTION_KEYS": lambda: "k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
}


class Vault:
    def __init__(self, data: Path) -> None:
        self._directory = make_private(data / "secrets")

    def application(self) -> dict[str, str]:
        return {name: os.environ.get(name) or self.get(name, make) for name, make in APPLICATION.items()}

    def get(self, name: str, make: Callable[[], str] = lambda: secrets.token_urlsafe(18)) -> str:
        """The secret of that name; made and kept if there is none."""
        path = self._path(name)
        try:
            if kept := path.read_text().strip():
                return kept
        except FileNotFoundError:
            pass
        except OSError as error:
            raise explain(error) from error
        return self.put(name, make())

    def put(self, name: str, value: str) -> str:
        write_private(self._path(name), f"{value}\n")
        return value

    def _path(self, name: str) -> Path:
        return self._directory / name.lower()


def write_private(path: Path, text: str) -> None:
    """Write whole or not at all (a full disk must not leave half a key), mode 0600. Raises Problem."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise explain(error) from error
