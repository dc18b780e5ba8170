"""What the files of a queue are called, beside the one that `mta.queue.disk.queue_dir` names.

What makes a file, or the names in a directory, outlive a power cut.

What to do about octets that an earlier process could not sync: write them again.

After a sync that failed, a system may take the pages for clean: whoever reads the file finds them, and the next sync
succeeds without writing them. Only what was written since the failure is durable after it.
"""

import contextlib
import os
import re
from pathlib import Path

#: The folder of a home for the bodies that are too large for a row.
BODIES = "bodies"
#: What follows the id in the name of a body's file that is not whole yet.
PART = ".part"
#: Matches the whole name of a body's file: the message's id, and PART while it is not whole.
BODY_NAME = re.compile(rf"[0-7][0-9a-z]{{12}}(?:{re.escape(PART)})?")


def wal_of(database: Path) -> Path:
    """Return where SQLite keeps the write-ahead log of a database (sqlite.org/walformat.html)."""
    return database.with_name(f"{database.name}-wal")


def fsync_path(path: Path) -> None:
    """Return when a file, or the names in a directory, are on disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_PIECE = 1 << 20


def rewrite_in_place(path: Path) -> None:
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
