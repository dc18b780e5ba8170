"""Tells the operator when the queue's log is not moved into its file any more, which SQLite keeps to itself.

Mail is safe in the log and goes on being accepted; but a log that only grows fills the disk, and what keeps it from the
file is often the beginning of a disk's end.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from twisted.internet.defer import Deferred, succeed

from mta.queue.commit import Run
from mta.queue.names import log_of
from mta.queue.schema import connect
from mta.queue.walsize import LOG_OCTETS

#: Seconds between two looks, and octets of a log that is in order; a reader may hold it up for a while.
ROUND = 300.0
IN_ORDER = 4 * LOG_OCTETS


class LogWatch:
    """Looks at the log beside a database. `trouble` is told why the log grows."""

    def __init__(self, database: Path, run: Run, *, trouble: Callable[[str], object], in_order: int = IN_ORDER) -> None:
        self._database = database
        self._log = log_of(database)
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
