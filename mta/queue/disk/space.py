"""Room for mail: the free octets of the queue's disk, and the free pages in the queue file, which are used again."""

import os
from pathlib import Path

from mta.queue.errors import as_queue_error
from mta.queue.interface import QueueFull, Space

#: Octets to keep free, so that stored messages can be settled.
RESERVE = 10 * 1024 * 1024
#: Octets to keep free on the disk itself when a body is stored in a file.
LEFT_BY_FILES = 1024 * 1024


def assess_space(free: int, reusable: int, reserve: int = RESERVE) -> Space:
    """Return the room for mail, given the free octets of the disk and the octets of free pages in the queue file.

    The queue is full if less than the reserve is free, and short of room if less than one and a quarter of it is.
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
    """Raise QueueFull if the disk of a directory and the free pages together have fewer octets than the reserve."""
    space = assess_space(free_octets_or_refuse(directory), reusable, reserve)
    if space.full:
        raise no_room(space)


def no_room(space: Space) -> QueueFull:
    """Return the error for a queue that is full."""
    return QueueFull(f"only {space.total >> 20} MiB free on the queue's disk: free space under QUEUE_DIR")


def free_octets_or_refuse(directory: Path) -> int:
    """Return the octets that this user may write to the disk of a directory. Raises QueueError."""
    try:
        return free_octets(directory)
    except OSError as error:
        raise as_queue_error(error) from error


def free_octets(directory: Path) -> int:
    """Return the octets that this user may write to the disk of a directory. Raises OSError."""
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize
