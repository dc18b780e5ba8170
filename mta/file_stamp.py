"""What tells one content of a file from another without reading it."""

import os

#: When it was written, how long it is, and which file it is.
Stamp = tuple[int, int, int]


def stamp_of(status: os.stat_result) -> Stamp:
    """Return what changes when a file or a directory does."""
    return status.st_mtime_ns, status.st_size, status.st_ino
