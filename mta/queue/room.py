"""Room on the queue's disk."""

import os
from pathlib import Path

from mta.queue.interface import QueueFull
from mta.queue.refusal import refusal

#: Octets that stay free on the disk, so that what is stored can still be settled.
RESERVE = 10 * 1024 * 1024


def require_room(directory: Path, reserve: int = RESERVE) -> None:
    """Raise QueueFull when fewer octets than the reserve are free where a directory is."""
    try:
        free = free_octets(directory)
    except OSError as error:
        raise refusal(error) from error
    if free < reserve:
        raise QueueFull(f"only {free >> 20} MiB free on the queue's disk: free space under QUEUE_DIR")


def free_octets(directory: Path) -> int:
    """Return how much we may still write to the disk a directory is on. Raises OSError."""
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize
