"""How the bridge is started: the program, and the environment that is all it may know."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import structlog
from django.conf import settings

from workers.node import BRIDGE, COMPILED, bundled_node

log = structlog.get_logger(__name__)
OLDEST_GOOD_NODE = 24
_ABOUT_THE_SYSTEM = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "NODE_EXTRA_CA_CERTS", "NODE_OPTIONS")
_ABOUT_ITSELF = ("BRIDGE_SPOOL_MAX_MB", "BRIDGE_DB_CONNECTIONS", "WA_VERSION_URL", "WA_LOOKUP_BURST", "WA_LOOKUP_EVERY_MS")
_PASSED_ON = (*_ABOUT_THE_SYSTEM, *_ABOUT_ITSELF)
_MENDS = "run `npm ci` in node_bridge, or set NODE_BINARY"


class BridgeMissing(Exception):
    """Node, the bridge's files or the program in its place are not there."""


def command() -> list[str]:
    """How the bridge is started, by absolute paths. Raises BridgeMissing, naming what is missing and what mends it."""
    if settings.BRIDGE_COMMAND:
        return _in_its_place(settings.BRIDGE_COMMAND)
    main = BRIDGE / "src" / "main.js"
    if not main.is_file():
        raise BridgeMissing(f"{main} is missing: restore the checkout (git checkout -- node_bridge)")
    if not (BRIDGE / "node_modules").is_dir():
        raise BridgeMissing(f"{BRIDGE / 'node_modules'} is missing: {_MENDS.split(',')[0]}")
    return [str(node_binary()), str(main)]


def _in_its_place(given: str) -> list[str]:
    try:
        program, *arguments = shlex.split(given)
    except ValueError as error:
        raise BridgeMissing(f"BRIDGE_COMMAND cannot be read: {error}") from error
    found = shutil.which(program)
    if not found:
        raise BridgeMissing(f"{program} is missing or cannot be run (BRIDGE_COMMAND names it)")
    return [str(Path(found).absolute()), *arguments]  # not resolved: a virtual environment's Python is a link


def node_binary() -> Path:
    """NODE_BINARY, else the Node 24 that came with the bridge's dependencies, else `node` on PATH."""
    if settings.NODE_BINARY:
        return _existing(Path(settings.NODE_BINARY), "NODE_BINARY names it")
    if bundled := bundled_node(BRIDGE):
        return bundled
    found = shutil.which("node")
    if not found:
        raise BridgeMissing(f"Node.js is missing: {_MENDS}")
    _warn_if_old(found)
    return Path(found).resolve()


def _existing(path: Path, why: str) -> Path:
    if not path.is_file():
        raise BridgeMissing(f"{path} does not exist ({why})")
    return path.resolve()


def _warn_if_old(node: str) -> None:
    try:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        raise BridgeMissing(f"{node} does not run ({type(error).__name__}): {_MENDS}") from error
    if int(version.lstrip("v").split(".")[0]) < OLDEST_GOOD_NODE:
        log.warning("bridge.old_node", version=version, detail="a message costs three times the CPU before Node 24", mend=_MENDS)


def environment(spool: Path) -> dict[str, str]:
    """What the bridge may know, and nothing else of this process's environment."""
    given = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    simulated = {"WA_SOCKET_URL": settings.WA_SOCKET_URL} if settings.WA_SOCKET_URL else {}
    return {
        **given,
        **simulated,
        "WHATSAPP_PORT": str(settings.WHATSAPP_PORT),
        "WHATSAPP_SECRET": settings.WHATSAPP_SECRET,
        "WEB_URL": settings.WEB_URL,
        "BRIDGE_DATABASE_URL": settings.BRIDGE_DATABASE_URL,
        "WA_ENCRYPTION_KEYS": settings.WA_ENCRYPTION_KEYS,
        "BRIDGE_SPOOL_DIR": str(spool),
        "SEND_ACK_TIMEOUT_S": f"{settings.SEND_ACK_TIMEOUT_S:g}",
        "LOG_LEVEL": settings.LOG_LEVEL.lower(),
        "BRIDGE_EXIT_WITH_PARENT": "1",
        "NODE_COMPILE_CACHE": str(COMPILED),
    }
