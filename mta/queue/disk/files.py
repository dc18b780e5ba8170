"""The names of a queue's files, and how they are made durable.

After a failed sync the system may take the pages of a file for clean: a read returns them, and the next sync succeeds
without writing them. Only octets that are written again after the failure can be made durable, which
`rewrite_in_place` does for a file that an earlier process may have failed to sync.
"""

import contextlib
import os
import re
from pathlib import Path

#: The folder of the bodies that are too large for a row.
BODIES = "bodies"
#: The suffix of a body's file that is not complete or not durable yet.
PART = ".part"
#: Matches the name of a body's file: the id of the message, with or without PART.
BODY_NAME = re.compile(rf"[0-7][0-9a-z]{{12}}(?:{re.escape(PART)})?")

#: Octets of the WAL that are written at a time, because Linux keeps a piece as one folio of its page cache, and ext4
#: looks at each block of the folio for each page that SQLite then writes: with 1 MiB a page took 5.1 us of CPU in place
#: of 2.0 (measured on 6.18).
PIECE = 64 << 10


def wal_of(database: Path) -> Path:
    """Return the path of SQLite's write-ahead log (WAL) of a database (sqlite.org/walformat.html)."""
    return database.with_name(f"{database.name}-wal")


def remove(path: Path) -> None:
    """Remove a file. A failure is ignored, because the next start finds the file and removes it."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def rewrite_in_place(path: Path) -> None:
    """Write the octets of a file over themselves and sync them; do nothing if it is missing. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            _rewrite(descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _rewrite(descriptor: int) -> None:
    at = 0
    while piece := os.pread(descriptor, PIECE, at):
        at += os.pwrite(descriptor, piece, at)
