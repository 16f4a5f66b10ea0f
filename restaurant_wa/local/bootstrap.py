"""Prepares a fresh checkout: `.venv` with the locked requirements, the bridge's packages; then goes on inside `.venv`.

Standard library only. Stamps hold the hash of the lock file they were made from, so that a prepared checkout is passed in
milliseconds. `RESTAURANT_WA_NO_BOOTSTRAP=1` skips all of it (containers).
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from restaurant_wa.local.console import Problem, die, step

BASE_DIR = Path(__file__).resolve().parents[2]
VENV = BASE_DIR / ".venv"
PYTHON = VENV / "bin" / "python"
BRIDGE = BASE_DIR / "node_bridge"
STAMP = ".restaurant-wa-stamp"
INSTALL_TIMEOUT_S = 1_200
MIN_NODE = 20


def prepare(argv: Sequence[str]) -> None:
    """Install what the command needs, and continue in the virtual environment. Exits 1 with one line if it cannot."""
    command = argv[1] if len(argv) > 1 else "help"
    try:
        with _one_at_a_time():
            _python_packages(dev=command == "test")
            if command in {"up", "test", "bench"}:
                _node_packages()
    except Problem as problem:
        die(problem)
    except OSError as error:
        die(Problem(f"The checkout cannot be prepared: {error.strerror}: {error.filename}."))
    except KeyboardInterrupt:
        sys.exit(130)
    if Path(sys.prefix).resolve() != VENV.resolve():
        _continue_in_venv(argv)


def _continue_in_venv(argv: Sequence[str]) -> NoReturn:
    sys.stdout.flush()
    os.execv(PYTHON, [str(PYTHON), str(BASE_DIR / "manage.py"), *argv[1:]])


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two commands started together in a fresh checkout: the second waits for the first one's installation."""
    handle = os.open(BASE_DIR, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


# --- Python -------------------------------------------------------------------------------------------------------


def _python_packages(*, dev: bool) -> None:
    lock = BASE_DIR / ("requirements-dev.txt" if dev else "requirements.txt")
    stamp = VENV / f"{STAMP}-{lock.stem}"
    wanted = _digest(lock)
    if PYTHON.exists() and _read(stamp) == wanted:
        return
    uv = _working_uv()
    if not (uv and _install_with_uv(uv, lock)):
        _install_with_pip(lock)
    _put_checkout_on_path()
    stamp.write_text(wanted)


def _working_uv() -> str | None:
    """uv's path if it runs: a version manager may leave a `uv` on PATH that only prints an error."""
    uv = shutil.which("uv")
    if uv is None:
        return None
    try:
        found = subprocess.run([uv, "--version"], capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return None
    return uv if found else None


def _install_with_uv(uv: str, lock: Path) -> bool:
    """False if uv could not: pip reads configuration (mirrors, proxies) that uv does not know, so pip is tried next."""
    try:
        if not PYTHON.exists():
            _run("Making .venv", [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(VENV)])
        install = [uv, "pip", "install", "--python", str(PYTHON), "--require-hashes", "-r", str(lock)]
        _run(f"Installing {lock.name} with uv", install)
    except Problem as problem:
        print(f"  {problem} Trying pip.", file=sys.stderr)
        return False
    return True


def _install_with_pip(lock: Path) -> None:
    if not (PYTHON.exists() and (VENV / "bin" / "pip").exists()):
        _run(
            "Making .venv",
            [sys.executable, "-m", "venv", "--clear", str(VENV)],
            mend="Is Python's venv module installed? On Debian or Ubuntu: apt install python3-venv.",
        )
    # The lock is complete, and `--no-deps` keeps pip from resolving again: it takes `coverage[toml]`, which a package asks for,
    # for another project than the locked `coverage`, and refuses the newer release that it finds without a hash.
    quiet = ["--quiet", "--disable-pip-version-check"]
    install = [str(PYTHON), "-m", "pip", "install", *quiet, "--require-hashes", "--no-deps", "-r", str(lock)]
    _run(f"Installing {lock.name} with pip (about half a minute)", install)


def _put_checkout_on_path() -> None:
    """As an editable installation does: `celery -A workers` and `pytest` find the packages from any directory."""
    for packages in VENV.glob("lib/python*/site-packages"):
        (packages / "restaurant_wa_checkout.pth").write_text(f"{BASE_DIR}\n")


# --- Node ---------------------------------------------------------------------------------------------------------


def _node_packages() -> None:
    modules = BRIDGE / "node_modules"
    stamp = modules / STAMP
    wanted = _digest(BRIDGE / "package.json", BRIDGE / "package-lock.json")
    if _read(stamp) == wanted:
        return
    _check_node()
    install = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]
    _run("Installing the bridge's packages with npm", install, cwd=BRIDGE)
    modules.mkdir(exist_ok=True)
    stamp.write_text(wanted)


def _check_node() -> None:
    mend = "Install Node 20 or newer with npm (https://nodejs.org), then run this again."
    if shutil.which("node") is None or shutil.which("npm") is None:
        missing = "node" if shutil.which("node") is None else "npm"
        raise Problem(f"{missing} is not on PATH. {mend}")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=20, check=False).stdout.strip()
    major = version.removeprefix("v").split(".")[0]
    if not major.isdigit() or int(major) < MIN_NODE:
        raise Problem(f"Node {version or '(unknown version)'} is too old. {mend}")


# --- Helpers ------------------------------------------------------------------------------------------------------


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _run(what: str, command: Sequence[str], *, cwd: Path = BASE_DIR, mend: str = "") -> None:
    """Run an installer with progress; its output is shown only if it fails. Raises Problem."""
    with step(what):
        try:
            done = subprocess.run(
                command,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=INSTALL_TIMEOUT_S,
                check=False,
            )
        except OSError as error:
            raise Problem(f"{what} failed: {error}.") from error
        except subprocess.TimeoutExpired as error:
            raise Problem(f"{what} did not finish within {INSTALL_TIMEOUT_S // 60} minutes. Is the network reachable?") from error
        if done.returncode != 0:
            print("\n" + "\n".join(done.stdout.splitlines()[-25:]), file=sys.stderr)
            raise Problem(f"{what} failed (exit code {done.returncode}). {mend}".rstrip())
