"""The length of SQLite's write-ahead log, made before the first message rather than by the first few thousand.

A sync after which the file has a new length takes the file system twice as long as one that only changes octets, until
the log begins again at its start for the first time. Zeros behind the last frame are no frames: a start after a crash
ends its reading there (sqlite.org/walformat.html, section 4).
"""

import os
import sqlite3
from pathlib import Path

from mta.queue.names import log_of
from mta.queue.room import free_octets
from mta.queue.schema import CHECKPOINT_PAGES, PAGE_SIZE, checkpoint_pages
from mta.queue.statements import SQL

_HEADER, _FRAME_HEADER = 32, 24
_PIECE = bytes(1 << 20)


def log_octets(pages: int) -> int:
    """Return the octets of a log with all pages that it takes before they are moved, and the last transaction's."""
    return _HEADER + (pages + 128) * (_FRAME_HEADER + PAGE_SIZE)


#: The octets of a log on a disk that is not small.
LOG_OCTETS = log_octets(CHECKPOINT_PAGES)


def lengthen(connection: sqlite3.Connection, database: Path, octets: int, reserve: int) -> None:
    """Fill the log up with zeros to `octets`, and sync; or leave it where that would not leave `reserve` octets free.

    A small disk gets a log as small as it is going to be.

    `connection` is open on the database and in no transaction. That nothing comes of it is no error: the log grows by
    itself, only slower.
    """
    try:
        octets = min(octets, log_octets(checkpoint_pages(database.parent)))
        if free_octets(database.parent) < reserve + octets:
            return
        # Nobody else must write while we look where the log ends.
        connection.execute(SQL.begin)
        try:
            _fill(log_of(database), octets)
        finally:
            connection.execute(SQL.rollback)
    except (OSError, sqlite3.Error):
        return


def _fill(log: Path, octets: int) -> None:
    descriptor = os.open(log, os.O_WRONLY)
    try:
        size = os.fstat(descriptor).st_size
        while size < octets:
            size += os.pwrite(descriptor, _PIECE[: octets - size], size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
