"""The length of SQLite's write-ahead log, made before the first message rather than by the first few thousand.

A sync after which the file has a new length takes the file system twice as long as one that only changes octets, until
the log begins again at its start for the first time. Zeros behind the last frame are no frames: a start after a crash
ends its reading there (sqlite.org/walformat.html, section 4).

Tells the operator when the queue's log is not moved into its file any more, which SQLite keeps to itself.

Mail is safe in the log and goes on being accepted; but a log that only grows fills the disk, and what keeps it from the
file is often the beginning of a disk's end.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from twisted.internet.defer import Deferred, succeed

from mta.queue.disk.files import wal_of
from mta.queue.disk.space import free_octets
from mta.queue.sqlite.group_commit import Run
from mta.queue.sqlite.schema import CHECKPOINT_PAGES, PAGE_SIZE, checkpoint_pages, connect
from mta.queue.sqlite.statements import SQL

_HEADER, _FRAME_HEADER = 32, 24
_PIECE = bytes(1 << 20)


def wal_octets(pages: int) -> int:
    """Return the octets of a log with all pages that it takes before they are moved, and the last transaction's."""
    return _HEADER + (pages + 128) * (_FRAME_HEADER + PAGE_SIZE)


#: The octets of a log on a disk that is not small.
LOG_OCTETS = wal_octets(CHECKPOINT_PAGES)


def preallocate(connection: sqlite3.Connection, database: Path, octets: int, reserve: int) -> None:
    """Fill the log up with zeros to `octets`, and sync; or leave it where that would not leave `reserve` octets free.

    A small disk gets a log as small as it is going to be.

    `connection` is open on the database and in no transaction. That nothing comes of it is no error: the log grows by
    itself, only slower.
    """
    try:
        octets = min(octets, wal_octets(checkpoint_pages(database.parent)))
        if free_octets(database.parent) < reserve + octets:
            return
        # Nobody else must write while we look where the log ends.
        connection.execute(SQL.begin)
        try:
            _fill(wal_of(database), octets)
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


#: Seconds between two looks, and octets of a log that is in order; a reader may hold it up for a while.
ROUND = 300.0
IN_ORDER = 4 * LOG_OCTETS


class WalMonitor:
    """Looks at the log beside a database. `trouble` is told why the log grows."""

    def __init__(self, database: Path, run: Run, *, trouble: Callable[[str], object], in_order: int = IN_ORDER) -> None:
        self._database = database
        self._log = wal_of(database)
        self._run = run
        self._trouble = trouble
        self._in_order = in_order

    def look(self) -> "Deferred[float | None]":
        """Try to move a log that is too long, and tell if that fails. The result is None; never fails."""
        try:
            octets = self._log.stat().st_size
        except OSError:
            # Whatever is wrong with the folder, the next message says it.
            return succeed(None)
        return succeed(None) if octets <= self._in_order else Deferred.fromCoroutine(self._move(octets))

    async def _move(self, octets: int) -> None:
        try:
            await self._run(self._checkpoint)
        except (sqlite3.Error, OSError) as error:
            self._trouble(
                f"the queue's log cannot be moved into its file ({error}) and has {octets >> 20} MiB by now: check the"
                f" disk under {self._database.parent}"
            )

    def _checkpoint(self) -> None:
        with closing(connect(self._database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
