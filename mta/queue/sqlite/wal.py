"""Watches the length of SQLite's write-ahead log (WAL) and reports a WAL that can no longer be checkpointed.

SQLite does not report a checkpoint that fails. Mail in the WAL is safe, and more is accepted, but a WAL that only grows
fills the disk, and the cause is often a failing disk.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from twisted.internet.defer import Deferred, succeed

from mta.queue.disk.files import wal_of
from mta.queue.sqlite.group_commit import Run
from mta.queue.sqlite.schema import CHECKPOINT_PAGES, PAGE_SIZE, connect

#: Seconds between two looks.
INTERVAL = 300.0
# A page in the WAL has a header of this many octets (sqlite.org/walformat.html, section 2).
_FRAME_HEADER = 24
#: Octets of the longest WAL that is not checkpointed here: a reader may delay SQLite's own checkpoints for a while.
USUAL_OCTETS = 4 * CHECKPOINT_PAGES * (_FRAME_HEADER + PAGE_SIZE)


class WalMonitor:
    """Checkpoints the WAL of a database when it is too long. `trouble` gets a line for the operator if that fails."""

    def __init__(
        self, database: Path, run: Run, *, trouble: Callable[[str], object], usual_octets: int = USUAL_OCTETS
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
