"""SQLite's write-ahead log (WAL): its length is allocated at the start, and a WAL that keeps growing is reported.

**Allocation.** The relay fills the WAL with zeros before the first message, for two reasons. Deliveries can be recorded
while the disk is full, because their transactions overwrite octets that the WAL has already; a delivery that is not
recorded is repeated after a crash. And a sync after which a file is longer takes the file system twice as long
(measured: 0.39 ms instead of 0.25 for the COMMIT of a lone message, until the first checkpoint). Zeros are not a valid
frame, so the recovery after a crash stops reading there (sqlite.org/walformat.html, section 4).

**Growth.** SQLite does not report a checkpoint that fails. Mail in the WAL is safe, and more is accepted, but a WAL
that only grows fills the disk, and the cause is often a failing disk.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from twisted.internet.defer import Deferred, succeed

from mta.blocking import RunBlocking
from mta.queue.disk.files import PIECE, wal_of
from mta.queue.disk.space import free_octets
from mta.queue.sqlite.schema import CHECKPOINT_PAGES, PAGE_SIZE, checkpoint_pages, connect
from mta.queue.sqlite.statements import SQL

# The WAL has one header, and one more before each page (sqlite.org/walformat.html, section 2).
_HEADER, _FRAME_HEADER = 32, 24
_PIECE = bytes(PIECE)


def _wal_octets(pages: int) -> int:
    """Return the octets of a WAL with all pages before a checkpoint, and those of the transaction that exceeds them."""
    return _HEADER + (pages + 128) * (_FRAME_HEADER + PAGE_SIZE)


#: The octets of a full WAL on a disk of 512 MiB or more.
WAL_OCTETS = _wal_octets(CHECKPOINT_PAGES)
#: Seconds between two looks of a WalMonitor.
INTERVAL = 300.0
#: Octets of the longest WAL that is not checkpointed here: a reader may delay SQLite's own checkpoints for a while.
USUAL_OCTETS = 4 * WAL_OCTETS


def preallocate(connection: sqlite3.Connection, database: Path, octets: int, reserve: int) -> None:
    """Fill the WAL with zeros up to `octets`, and sync it, if `reserve` octets of the disk then are still free.

    A small disk gets a WAL of the size at which SQLite checkpoints it there. `connection` is open on the database and
    in no transaction. A failure is not reported: the WAL then grows by itself.
    """
    try:
        octets = min(octets, _wal_octets(checkpoint_pages(database.parent)))
        if free_octets(database.parent) < reserve + octets:
            return
        # Another connection must not write between the look at the WAL's length and the zeros behind it.
        connection.execute(SQL.begin)
        try:
            _fill(wal_of(database), octets)
        finally:
            connection.execute(SQL.rollback)
    except (OSError, sqlite3.Error):
        return


def _fill(wal: Path, octets: int) -> None:
    descriptor = os.open(wal, os.O_WRONLY)
    try:
        size = os.fstat(descriptor).st_size
        while size < octets:
            size += os.pwrite(descriptor, _PIECE[: octets - size], size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class WalMonitor:
    """Checkpoints the WAL of a database when it is too long. `trouble` gets a line for the operator if that fails."""

    def __init__(
        self, database: Path, run: RunBlocking, *, trouble: Callable[[str], object], usual_octets: int = USUAL_OCTETS
    ) -> None:
        self._database = database
        self._wal = wal_of(database)
        self._run = run
        self._trouble = trouble
        self._usual_octets = usual_octets

    def look(self) -> "Deferred[float | None]":
        """Checkpoint a WAL that is too long, and report a failure to do so. The result is None; never fails."""
        try:
            octets = self._wal.stat().st_size
        except OSError:
            # If the directory cannot be used, the next message that is added reports it.
            return succeed(None)
        return succeed(None) if octets <= self._usual_octets else Deferred.fromCoroutine(self._move(octets))

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
