"""A disk of a few megabytes, in memory, that can be filled to its last byte and its last file."""

import os
import shutil
import subprocess
from errno import ENOSPC
from itertools import count
from pathlib import Path
from types import TracebackType

BLOCK = bytes(4_096)


def can_mount() -> bool:
    return os.geteuid() == 0 and shutil.which("mount") is not None


class SmallDisk:
    """Mounted at `path`, which is made, for the time of the block."""

    def __init__(self, path: Path, *, megabytes: int, files: int = 200) -> None:
        self.path = path
        self._options = f"size={megabytes}m,nr_inodes={files}"
        self._filler = path / "filler"

    def fill(self) -> None:
        self._filler.mkdir()
        with (self._filler / "bytes").open("wb", buffering=0) as filler, _until_full():
            while True:
                filler.write(BLOCK)
        with _until_full():
            for number in count():
                (self._filler / str(number)).touch()

    def free(self) -> None:
        shutil.rmtree(self._filler, ignore_errors=True)

    def __enter__(self) -> "SmallDisk":
        self.path.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", self._options, "tmpfs", self.path], check=True, timeout=10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        subprocess.run(["umount", "-l", self.path], check=False, timeout=10)


class _until_full:
    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        return isinstance(error, OSError) and error.errno == ENOSPC
