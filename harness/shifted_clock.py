"""A daemon's wall clock in the hand of a test: days pass in a moment."""

import mmap
import os
import struct
from pathlib import Path

_FOLDER = Path(__file__).parent / "timeshift"


class WallClock:
    """The clock of the programs that are started with `settings`: `ahead` is how many seconds it is fast.

    A program that waits notices a change only when something wakes it.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        file.write_bytes(struct.pack("d", 0.0))
        with file.open("r+b") as opened:
            self._seconds = mmap.mmap(opened.fileno(), 8)

    def settings(self, python_path: str) -> dict[str, str]:
        """Return the variables for the program's environment, including the PYTHONPATH that it needs anyway."""
        return {"TIME_AHEAD": str(self._file), "PYTHONPATH": os.pathsep.join((str(_FOLDER), python_path))}

    @property
    def ahead(self) -> float:
        """How many seconds the clock is fast."""
        return float(struct.unpack("d", self._seconds)[0])

    @ahead.setter
    def ahead(self, seconds: float) -> None:
        self._seconds[:] = struct.pack("d", seconds)
