"""What to do about octets that an earlier process could not sync: write them again.

After a sync that failed, a system may take the pages for clean: whoever reads the file finds them, and the next sync
succeeds without writing them. Only what was written since the failure is durable after it.
"""

import contextlib
import os
from pathlib import Path

_PIECE = 1 << 20


def rewrite(path: Path) -> None:
    """Write a file's own octets in their place once more and sync them; no file is no work. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            _write_again(descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_again(descriptor: int) -> None:
    at = 0
    while piece := os.pread(descriptor, _PIECE, at):
        at += os.pwrite(descriptor, piece, at)
