"""Room for mail: free octets of the queue's disk, and free pages in the queue file, which are used again."""

import os
from pathlib import Path

from mta.queue.errors import as_queue_error
from mta.queue.interface import QueueFull, Space

#: Octets that stay free, so that stored messages can still be settled.
RESERVE = 10 * 1024 * 1024
#: Octets that stay free on the disk itself when a body goes to a file.
LEFT_BY_FILES = 1024 * 1024


def assess_space(free: int, reusable: int, reserve: int = RESERVE) -> Space:
    """Return how much room there is: `free` octets of the disk, and `reusable` ones of free pages in the queue file.

    The queue is full when less than the reserve is left, and short of room a quarter of the reserve before that.
    """
    total = free + reusable
    return Space(
        free,
        reusable,
        short=total < reserve + reserve // 4,
        full=total < reserve,
        no_files=free < min(LEFT_BY_FILES, reserve),
    )


def require_room(directory: Path, reserve: int = RESERVE, reusable: int = 0) -> None:
    """Raise QueueFull when fewer octets than the reserve are free where a directory is and in the queue's file."""
    space = assess_space(free_octets_or_refuse(directory), reusable, reserve)
    if space.full:
        raise no_room(space)


def no_room(space: Space) -> QueueFull:
    """Return the error of a queue that is full."""
    return QueueFull(f"only {space.total >> 20} MiB free on the queue's disk: free space under QUEUE_DIR")


def free_octets_or_refuse(directory: Path) -> int:
    """Return how many octets may still be written to the disk of a directory. Raises QueueError."""
    try:
        return free_octets(directory)
    except OSError as error:
        raise as_queue_error(error) from error


def free_octets(directory: Path) -> int:
    """Return how much we may still write to the disk a directory is on. Raises OSError."""
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize
