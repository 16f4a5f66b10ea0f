"""Who runs PostgreSQL: it refuses root, so as root it becomes an unprivileged user, and needs places that one can reach."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from restaurant_wa.local.console import Problem

CANDIDATES = ("restaurant-wa", "postgres", "nobody")


@dataclass(frozen=True)
class Identity:
    uid: int
    gid: int


def unprivileged() -> Identity | None:
    """None unless this is root. initdb wants a user with a name, so an existing one is taken."""
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Identity(entry.pw_uid, entry.pw_gid)
    raise Problem(
        f"PostgreSQL does not run as root, and none of the users {', '.join(CANDIDATES)} exists. Run this as another user."
    )


def reachable(path: Path, who: Identity | None) -> bool:
    """Whether `who` may pass through every directory down to `path`, which need not exist."""
    if who is None:
        return True
    return all(_allows(place, who, stat.S_IXUSR, stat.S_IXGRP, stat.S_IXOTH) for place in path.parents if place.exists())


def readable(path: Path, who: Identity | None) -> bool:
    """Whether `who` may reach, read and run the file."""
    return who is None or (reachable(path, who) and _allows(path, who, 0o500, 0o050, 0o005))


def _allows(path: Path, who: Identity, user: int, group: int, other: int) -> bool:
    status = path.stat()
    wanted = user if status.st_uid == who.uid else group if status.st_gid == who.gid else other
    return status.st_mode & wanted == wanted


def give(path: Path, who: Identity | None) -> None:
    if who:
        os.chown(path, who.uid, who.gid)
