"""Clocks that can be set while a program runs by them: libfaketime (Debian's package), which every program of C answers to.

Only the time of day is set: the monotonic clocks run on, as they do when an administrator or NTP sets a machine's clock.
"""

import os
from pathlib import Path

LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib/faketime/libfaketimeMT.so.1")


def faketime() -> Path | None:
    """FAKETIME, else where Debian has it."""
    if given := os.environ.get("FAKETIME"):
        return Path(given)
    return next((found for pattern in LIBRARIES for found in Path("/").glob(pattern.lstrip("/"))), None)


class SetClock:
    """`file` tells by how much; any user's programs may have to read it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._ahead_s = 0
        self.step(0)

    def step(self, seconds: int) -> None:
        """Forward, or back when negative; noticed within a second. Whole or not at all, since it may be read at any moment."""
        self._ahead_s += seconds
        unfinished = self._file.with_suffix(".new")
        unfinished.write_text(f"{self._ahead_s:+d}\n")
        unfinished.chmod(0o644)
        unfinished.rename(self._file)

    @property
    def environment(self) -> dict[str, str]:
        library = faketime()
        assert library, "look before"
        no_monotonic = dict.fromkeys(("FAKETIME_DONT_FAKE_MONOTONIC", "DONT_FAKE_MONOTONIC"), "1")
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            **no_monotonic,
        }

    def wrap(self, program: str, script: Path) -> str:
        """A script that runs the program by this clock, for a parent that passes no environment on."""
        names = " ".join(f"{name}='{value}'" for name, value in self.environment.items())
        script.write_text(f"#!/bin/sh\nexec env {names} '{program}' \"$@\"\n")
        script.chmod(0o755)
        return str(script)
