"""QUEUE_DIR and the homes of its workers: made when missing, closed to others, and each owned by one daemon at a time.

Worker 1 lives in QUEUE_DIR itself, so that a relay of one process and the first of many use the same files; worker k
lives in QUEUE_DIR/worker-k.
"""

import errno
import fcntl
import os
import re
import select
import time
from pathlib import Path
from typing import Self

from mta.queue.disk.files import BODIES, fsync_path
from mta.queue.disk.permissions import chown_queue, secure_contents
from mta.queue.interface import QueueError

#: The queue of a home.
FILE_NAME = "queue.sqlite"
#: The name that the whole relay locks in QUEUE_DIR; each home has a `lock` of its own.
RELAY_LOCK = "relay.lock"

_WORKER = re.compile(r"worker-([2-9]|[1-9][0-9]+)")
# Seconds between two looks at a lock that somebody has.
_LOOK = 0.05


def worker_home(directory: Path, number: int) -> Path:
    """Return where worker `number` (from 1) of the relay on QUEUE_DIR has its queue, whether or not it is there."""
    return directory if number == 1 else directory / f"worker-{number}"


def worker_numbers(directory: Path) -> list[int]:
    """Return the numbers of the workers from 2 on that have a folder in QUEUE_DIR, growing. Raises OSError."""
    found = ((_WORKER.fullmatch(path.name), path) for path in directory.iterdir())
    return sorted(int(match[1]) for match, path in found if match is not None and path.is_dir())


def homes(directory: Path) -> list[Path]:
    """Return QUEUE_DIR, then the homes of further workers that hold a queue, in the order of their numbers.

    QUEUE_DIR comes first whether or not there is a queue in it. Raises QueueError.
    """
    try:
        others = [worker_home(directory, number) for number in worker_numbers(directory)]
    except OSError as error:
        raise _unusable(directory, error) from error
    return [directory, *(home for home in others if not is_without_queue(home))]


def is_without_queue(home: Path) -> bool:
    """Whether there is no queue file in a home: its worker has not begun, or it was merged. Not if we may not look."""
    try:
        (home / FILE_NAME).stat()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def prepare(directory: Path) -> None:
    """Make the directory and its `bodies` where they are missing, durably and for our eyes only. Raises QueueError."""
    try:
        _make(directory)
        secure_contents(directory)
        _make(directory / BODIES)
    except OSError as error:
        raise _unusable(directory, error) from error
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        raise _unusable(directory, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def _make(directory: Path) -> None:
    """A name is on disk when the folder it is in is synced: without that, a power cut takes all that is below it."""
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(0o700, parents=True, exist_ok=True)
    for path in missing:
        fsync_path(path.parent)


def check_contents(directory: Path) -> None:
    """Return if nothing in a directory that is there was put there by others. Raises QueueError."""
    try:
        secure_contents(directory)
    except OSError as error:
        raise _unusable(directory, error) from error


def create_for(directory: Path, uid: int, gid: int) -> None:
    """Make QUEUE_DIR where it is missing and hand it over to a user as `chown_queue` does. Raises QueueError."""
    if not os.path.lexists(directory):
        prepare(directory)
    chown_queue(directory, uid, gid)


def lock_relay(directory: Path) -> "Lock":
    """Make QUEUE_DIR where it is missing and take the lock of the relay as a whole. Raises QueueError."""
    prepare(directory)
    return Lock(directory, RELAY_LOCK)


class Lock:
    """The right to be the daemon of a directory; ends with the process, however it ends."""

    def __init__(self, directory: Path, name: str = "lock", patience: float = 0.0) -> None:
        """Take the lock and write our pid into it. Raises QueueError naming the process that has it.

        With `patience` (seconds) this blocks as long for that process to end.
        """
        path = directory / name
        end = time.monotonic() + patience
        try:
            while (descriptor := _try(path)) is None:
                if time.monotonic() >= end:
                    raise _taken(path)
                select.select((), (), (), _LOOK)
        except OSError as error:
            raise _unusable(directory, error) from error
        self._descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give the lock back; the file stays, so that its name says where the lock is."""
        os.close(self._descriptor)


def _try(path: Path) -> int | None:
    """Return the descriptor of the lock with our pid in it, None when another process has it. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A name that was removed since we opened it, with the home it was in, can be locked a second time.
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
