"""A fresh checkout prepares itself; a prepared one is passed at once. With a small checkout that asks for nothing to download."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from restaurant_wa.local.places import BASE_DIR

TELLS_WHERE_IT_RUNS = """
import sys
from restaurant_wa.local.bootstrap import prepare
prepare(sys.argv)
print("runs in", sys.prefix, "with", sys.argv[1:])
"""
PACKAGE = {"name": "small", "version": "1.0.0"}
LOCK = {**PACKAGE, "lockfileVersion": 3, "packages": {"": PACKAGE}}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    place = tmp_path / "checkout"
    local = place / "restaurant_wa" / "local"
    local.mkdir(parents=True)
    for name in ("restaurant_wa/__init__.py", "restaurant_wa/local/__init__.py"):
        (place / name).touch()
    for name in ("bootstrap.py", "console.py"):
        shutil.copy(BASE_DIR / "restaurant_wa" / "local" / name, local)
    (place / "manage.py").write_text(TELLS_WHERE_IT_RUNS)
    for name in ("requirements.txt", "requirements-dev.txt"):
        (place / name).write_text("# nothing\n")
    (place / "node_bridge").mkdir()
    (place / "node_bridge" / "package.json").write_text(json.dumps(PACKAGE))
    (place / "node_bridge" / "package-lock.json").write_text(json.dumps(LOCK))
    return place


def start(checkout: Path, command: str = "up", path: str = "") -> "subprocess.Popen[str]":
    env = {**os.environ, "PATH": path or os.environ["PATH"]}
    env.pop("RESTAURANT_WA_NO_BOOTSTRAP", None)
    python = getattr(sys, "_base_executable", sys.executable)
    return subprocess.Popen(
        [python, "manage.py", command, "--port", "1"],
        cwd=checkout,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(checkout: Path, command: str = "up", path: str = "") -> tuple[int, str, str]:
    process = start(checkout, command, path)
    output, error = process.communicate(timeout=180)
    return process.returncode, output, error.strip()


def tools(tmp_path: Path, *names: str) -> Path:
    """A PATH with these programs of this machine and no others."""
    place = tmp_path / "bin"
    place.mkdir()
    for name in names:
        found = shutil.which(name)
        assert found, f"this test needs {name}"
        (place / name).symlink_to(found)
    return place


def test_it_prepares_once_and_goes_on_in_the_virtual_environment(checkout: Path) -> None:
    code, output, error = run(checkout)
    assert code == 0, error
    assert "Installing requirements.txt" in output
    assert "Installing the bridge's packages with npm" in output
    assert f"runs in {checkout / '.venv'} with ['up', '--port', '1']" in output

    assert run(checkout)[1] == f"runs in {checkout / '.venv'} with ['up', '--port', '1']\n"


def test_a_changed_lock_is_installed_again(checkout: Path) -> None:
    run(checkout, "migrate")
    (checkout / "requirements.txt").write_text("# still nothing\n")
    output = run(checkout, "migrate")[1]
    assert "Installing requirements.txt" in output
    assert "npm" not in output  # only up and test need the bridge


def test_tests_get_the_development_requirements(checkout: Path) -> None:
    assert "Installing requirements-dev.txt" in run(checkout, "test")[1]


def test_two_at_once_install_once(checkout: Path) -> None:
    first, second = start(checkout), start(checkout)
    outputs = [process.communicate(timeout=180)[0] for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert sum("Installing requirements.txt" in output for output in outputs) == 1
    assert all("runs in" in output for output in outputs)


def test_it_works_without_uv(checkout: Path, tmp_path: Path) -> None:
    code, output, error = run(checkout, "migrate", path=str(tools(tmp_path, "sh")))
    assert code == 0, error
    assert "Installing requirements.txt with pip" in output


def test_a_broken_uv_is_passed_over(checkout: Path, tmp_path: Path) -> None:
    place = tools(tmp_path, "sh")
    (place / "uv").write_text("#!/bin/sh\necho no version is set >&2\nexit 127\n")
    (place / "uv").chmod(0o755)
    code, output, error = run(checkout, "migrate", path=str(place))
    assert code == 0, error
    assert "with pip" in output


@pytest.mark.parametrize("present, missing", [((), "node"), (("node",), "npm")])
def test_missing_node_and_npm_are_told_in_one_line(
    checkout: Path, tmp_path: Path, present: tuple[str, ...], missing: str
) -> None:
    code, _, error = run(checkout, path=str(tools(tmp_path, "sh", *present)))
    assert code == 1
    assert error.startswith(f"error: {missing} is not on PATH.")
    assert len(error.splitlines()) == 1


def test_an_old_node_is_told_in_one_line(checkout: Path, tmp_path: Path) -> None:
    place = tools(tmp_path, "sh", "npm")
    (place / "node").write_text("#!/bin/sh\necho v18.20.1\n")
    (place / "node").chmod(0o755)
    code, _, error = run(checkout, path=str(place))
    assert code == 1
    assert "Node v18.20.1 is too old" in error
    assert len(error.splitlines()) == 1


def test_a_failed_installation_is_tried_again_the_next_time(checkout: Path) -> None:
    (checkout / "node_bridge" / "package-lock.json").write_text("not JSON")
    code, _, error = run(checkout)
    assert code == 1
    assert "npm failed" in error.splitlines()[-1]
    (checkout / "node_bridge" / "package-lock.json").write_text(json.dumps(LOCK))
    assert run(checkout)[0] == 0


def test_an_old_python_can_read_manage_py_far_enough_to_be_refused() -> None:
    ast.parse((BASE_DIR / "manage.py").read_text(), feature_version=(3, 4))
