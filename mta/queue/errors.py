"""Turns errors of SQLite and the operating system into the errors of the queue, in words for an operator."""

import errno
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from mta.queue.interface import QueueError, QueueFull, QueueId

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def as_queue_error(error: BaseException | None) -> QueueError:
    """Return the QueueError for an error, which becomes its cause. A QueueError is returned unchanged."""
    if isinstance(error, QueueError):
        return error
    queue_error = _translated(error)
    queue_error.__cause__ = error
    return queue_error


def _translated(error: BaseException | None) -> QueueError:
    if isinstance(error, sqlite3.Error):
        return _sqlite_translated(error)
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return QueueFull(f"no room on the queue's disk ({error.strerror}): free space under QUEUE_DIR")
    return QueueError(f"the queue request failed: {error}")


def _sqlite_translated(error: sqlite3.Error) -> QueueError:
    code = primary_code(error)
    if code == sqlite3.SQLITE_FULL:
        return QueueFull("no room on the queue's disk: free space under QUEUE_DIR")
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return QueueError(f"the queue file is damaged ({error}): stop the relay and restore QUEUE_DIR from a backup")
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return QueueError("the queue file is locked by another program: end it, or wait until it is done")
    if code in {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}:
        return QueueError(
            f"the queue file cannot be read or written ({error}): check the disk and the owner of QUEUE_DIR"
        )
    return QueueError(f"the queue request failed: {error}")


def hold_of_one_recipient(id: QueueId) -> QueueError:
    """Return the error for a hold or release of one recipient of a message in which others wait too."""
    return QueueError(
        f"message {id} has other recipients that wait, and a hold is of a whole message: leave the recipient out, or "
        "bounce or remove it"
    )


def primary_code(error: BaseException | None) -> int:
    """Return the primary result code of an error of SQLite, or 0 for another error."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF


def with_home(home: Path, error: QueueError, homes: Sequence[Path]) -> QueueError:
    """Return an error that names its home; unchanged if there is one home only or the error names it already."""
    if len(homes) <= 1 or str(home) in str(error):
        return error
    return type(error)(f"in {home}: {error}")
