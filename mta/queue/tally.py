"""The ledger's half of each transaction: what it changed, counted while it runs and written before it is committed.

One statement a transaction, however many messages share it. Counted are recipients, for these are what is delivered.
"""

import sqlite3

from mta.queue.marks import Marks
from mta.queue.statements import SQL


class Tally:
    """Counts and marks of one connection. Who changes a recipient's row adds to the counts."""

    __slots__ = ("_execute", "_sending", "accepted", "delivered", "failed", "marks", "removed")

    def __init__(self, connection: sqlite3.Connection, marks: Marks | None = None) -> None:
        """`marks` are given to the connection that sends; the others leave the row's marks alone."""
        self._execute = connection.execute
        self.marks = marks or Marks()
        # The text of the marks if it is to be written.
        self._sending: str | None = None
        self._clear()

    def _clear(self) -> None:
        self.accepted = self.delivered = self.failed = self.removed = 0

    def begin(self) -> None:
        """A transaction begins."""
        self._clear()
        self.marks.begin()

    def write(self) -> None:
        """Write what the transaction changed, if anything. Raises sqlite3.Error."""
        sending = self.marks.changed()
        if self.accepted or self.delivered or self.failed or self.removed or sending is not None:
            self._execute(SQL.count, (self.accepted, self.delivered, self.failed, self.removed, sending))

    def roll_back(self) -> None:
        """The transaction was taken back: the marks are what they were before it."""
        self._clear()
        self.marks.roll_back()
