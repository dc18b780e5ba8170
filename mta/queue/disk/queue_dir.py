"""QUEUE_DIR and the homes of workers in it: created if missing, closed to other users, locked by one daemon at a time.

The home of worker 1 is QUEUE_DIR itself, so that a relay of one process and the first of several workers use the same
files. The home of worker k is QUEUE_DIR/worker-k.
"""

import errno
import fcntl
import os
import re
import select
import time
from pathlib import Path
from typing import Self

from mta.blocking import fsync_path
from mta.queue.disk.files import BODIES
from mta.queue.disk.permissions import chown_queue, secure_contents
from mta.queue.interface import QueueError

#: The name of the queue file in a home.
FILE_NAME = "queue.sqlite"
#: The name of the lock file of the relay as a whole, in QUEUE_DIR. Each home has a file `lock` of its own.
RELAY_LOCK = "relay.lock"

_WORKER = re.compile(r"worker-([2-9]|[1-9][0-9]+)")
# Seconds between two attempts to take a lock that another process has.
_LOCK_INTERVAL = 0.05


def worker_home(directory: Path, number: int) -> Path:
    """Return the home of worker `number`, counted from 1, whether or not it exists."""
    return directory if number == 1 else directory / f"worker-{number}"


def worker_numbers(directory: Path) -> list[int]:
    """Return the sorted numbers of the workers from 2 on that have a folder in QUEUE_DIR. Raises OSError."""
    found = ((_WORKER.fullmatch(path.name), path) for path in directory.iterdir())
    return sorted(int(match[1]) for match, path in found if match is not None and path.is_dir())


def homes(directory: Path) -> list[Path]:
    """Return QUEUE_DIR, with a queue or without, then the homes of other workers with a queue. Raises QueueError."""
    try:
        others = [worker_home(directory, number) for number in worker_numbers(directory)]
    except OSError as error:
        raise _unusable(directory, error) from error
    return [directory, *(home for home in others if not is_without_queue(home))]


def is_without_queue(home: Path) -> bool:
    """Whether a home has no queue file, because its worker has not started yet or its queue was merged.

    A home that cannot be read counts as one with a queue.
    """
    try:
        (home / FILE_NAME).stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def prepare(directory: Path) -> None:
    """Create the directory and its `bodies` durably if missing, and close them to other users. Raises QueueError."""
    try:
        _make(directory)
        secure_contents(directory)
        _make(directory / BODIES)
    except OSError as error:
        raise _unusable(directory, error) from error
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        raise _unusable(directory, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def _make(directory: Path) -> None:
    """Create a directory and sync the folder of each new name, because a power cut would otherwise remove it."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(0o700, parents=True, exist_ok=True)
    for path in missing:
        fsync_path(path.parent)


def check_contents(directory: Path) -> None:
    """Raise QueueError if another user may have put an entry into an existing directory."""
    try:
        secure_contents(directory)
    except OSError as error:
        raise _unusable(directory, error) from error


def create_for(directory: Path, uid: int, gid: int) -> None:
    """Create QUEUE_DIR if missing and give it to a user as `chown_queue` does. Raises QueueError."""
    if not os.path.lexists(directory):
        prepare(directory)
    chown_queue(directory, uid, gid)


def lock_relay(directory: Path) -> "Lock":
    """Create QUEUE_DIR if missing and take the lock of the relay as a whole. Raises QueueError."""
    prepare(directory)
    return Lock(directory, RELAY_LOCK)


class Lock:
    """The lock of the daemon that uses a directory. It ends with the process, even if that is killed."""

    def __init__(self, directory: Path, name: str = "lock", patience: float = 0.0) -> None:
        """Take the lock and write the process id into it. Raises QueueError that names the process with the lock.

        This blocks up to `patience` seconds for that process to end.
        """
        path = directory / name
        end = time.monotonic() + patience
        try:
            while (descriptor := _try(path)) is None:
                if time.monotonic() >= end:
                    raise _taken(path)
                select.select((), (), (), _LOCK_INTERVAL)
        except OSError as error:
            raise _unusable(directory, error) from error
        self._descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Release the lock. Its file stays, for the next process to lock."""
        os.close(self._descriptor)


def _try(path: Path) -> int | None:
    """Return the descriptor of the lock after writing the process id, or None if it is taken. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # If the name was removed since the open, along with its home, another process can lock a new file of that name.
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            return descriptor
    except BlockingIOError:
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _taken(path: Path) -> QueueError:
    owner = path.read_bytes()[:20].decode("ascii", "replace").strip()
    return QueueError(
        f"another smtprelay (process {owner or 'unknown'}) uses {path.parent}: stop it, or set another QUEUE_DIR"
    )


def _unusable(directory: Path, error: OSError) -> QueueError:
    return QueueError(
        f"the queue directory {directory} cannot be used ({error.strerror}): "
        f"let user id {os.geteuid()} write there, or set QUEUE_DIR to a directory it can write"
    )
