"""A wall clock that runs ahead. Python imports this by itself at its start when this folder is on PYTHONPATH.

TIME_AHEAD names a file that holds the seconds as a native double; it may be changed while the program runs.
"""

import mmap
import os
import struct
import time
from pathlib import Path

if os.environ.get("TIME_AHEAD"):
    with Path(os.environ["TIME_AHEAD"]).open("rb") as file:
        _seconds = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    _true_time = time.time

    def _ahead() -> float:
        return _true_time() + float(struct.unpack("d", _seconds)[0])

    time.time = _ahead
