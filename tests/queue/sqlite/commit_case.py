"""A group commit over a table of numbers, whose other thread a test runs by hand."""

import sqlite3
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from mta.queue.sqlite.group_commit import GroupCommit
from mta.queue.sqlite.schema import connect
from tests.queue.messages import scratch


class CommitCase(SynchronousTestCase):
    """A test with a database of its own. The test sets `commit`."""

    commit: GroupCommit

    def setUp(self) -> None:
        self.path = scratch(self)
        self.path.touch()
        self.connection = connect(self.path)
        self.addCleanup(self.connection.close)
        self.connection.execute("CREATE TABLE t (x INTEGER PRIMARY KEY, y BLOB)")
        #: The numbers whose work was done.
        self.ran: list[int] = []

    def insert(self, number: int, size: int = 1, **options: Any) -> "Deferred[int]":
        """Submit an operation that inserts a row, and return its result."""

        def work() -> int:
            self.ran.append(number)
            self.connection.execute("INSERT INTO t VALUES (?, zeroblob(?))", (number, size))
            return number

        return self.commit.submit(work, **options)

    def stored(self) -> list[int]:
        """Return the rows that another program sees."""
        other = sqlite3.connect(self.path)
        rows = [number for (number,) in other.execute("SELECT x FROM t ORDER BY x")]
        other.close()
        return rows
