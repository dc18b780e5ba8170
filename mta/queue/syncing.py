"""What makes a file, or the names in a directory, outlive a power cut."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Return when a file, or the names in a directory, are on disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
