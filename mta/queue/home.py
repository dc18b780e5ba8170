"""QUEUE_DIR: made when missing, closed to others, and owned by one daemon at a time."""

import errno
import fcntl
import os
from pathlib import Path

from mta.queue.interface import QueueError


def prepare(directory: Path) -> None:
    """Make the directory and its `bodies` where they are missing, for our eyes only. Raises QueueError."""
    try:
        directory.mkdir(0o700, parents=True, exist_ok=True)
        (directory / "bodies").mkdir(0o700, exist_ok=True)
    except OSError as error:
        raise _unusable(directory, error) from error
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise _unusable(directory, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


class Lock:
    """The right to be the daemon of a directory; ends with the process, however it ends."""

    def __init__(self, directory: Path) -> None:
        """Take the lock and write our pid into it. Raises QueueError naming the process that has it."""
        try:
            self._descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(directory, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            owner = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            self.release()
            if error.errno == errno.EWOULDBLOCK:
                raise QueueError(
                    f"another smtprelay (process {owner or 'unknown'}) uses {directory}: "
                    "stop it, or set another QUEUE_DIR"
                ) from None
            raise _unusable(directory, error) from error

    def release(self) -> None:
        """Give the lock back; the file stays, for a name that is removed can be locked twice."""
        os.close(self._descriptor)


def _unusable(directory: Path, error: OSError) -> QueueError:
    return QueueError(
        f"the queue directory {directory} cannot be used ({error.strerror}): "
        f"let user id {os.geteuid()} write there, or set QUEUE_DIR to a directory it can write"
    )
