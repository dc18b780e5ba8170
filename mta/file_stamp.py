"""Tells whether a file has changed since it was last read, so that it is read again only then.

The stamp is taken before the file is read, so that a change during the reading gives another stamp the next time. A
change that keeps identity, length and modification time is not seen.
"""

from pathlib import Path
from typing import NamedTuple


class FileStamp(NamedTuple):
    """One state of a file or directory. Equal stamps mean that it has not changed."""

    device: int
    inode: int
    octets: int
    modified_ns: int

    @classmethod
    def of(cls, path: Path) -> "FileStamp":
        """Return the stamp of the file that a path leads to, through links. Raises OSError."""
        status = path.stat()
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def read_if_changed(path: Path, last: FileStamp | None, max_octets: int) -> tuple[bytes, FileStamp] | None:
    """Return up to `max_octets` from the beginning of a file and its stamp, or None if the stamp is still `last`.

    With None for `last` the file is always read. Raises OSError.
    """
    stamp = FileStamp.of(path)
    if stamp == last:
        return None
    with path.open("rb") as file:
        return file.read(max_octets), stamp
