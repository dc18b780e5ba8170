"""The path of the Unix socket in QUEUE_DIR at which a relay answers commands."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOCKET_NAME = "control"
# Octets of a socket's path (unix(7), sun_path without its end).
_MAX_PATH = 107


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Yield a path to a socket that fits into a socket address, through its open directory if the path is long.

    Raises OSError if the directory does not exist.
    """
    if len(os.fsencode(path)) <= _MAX_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
