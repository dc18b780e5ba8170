"""The `ledger` row of the queue file: counts of recipients by result, and the marks of copies in flight.

`LedgerDelta` counts the changes of a transaction while it runs and writes them with one statement before the COMMIT,
however many messages share the transaction. Recipients are counted, because they are the unit of delivery.

The marks of copies in flight (`mta.queue.sql.marks`) are a text in the same row.
"""

import sqlite3

from mta.queue.sql.marks import InFlightMarks
from mta.queue.sqlite.statements import SQL


def stored_marks(connection: sqlite3.Connection) -> str:
    """Return the marks of a queue file. Raises sqlite3.Error."""
    text: str = connection.execute(SQL.in_flight_marks).fetchone()[0]
    return text


class LedgerDelta:
    """Counts and marks of one connection. Code that changes the row of a recipient adds to the counts."""

    __slots__ = ("_execute", "accepted", "delivered", "failed", "marks", "removed")

    def __init__(self, connection: sqlite3.Connection, marks: InFlightMarks | None = None) -> None:
        """Only the connection of the relay that sends has `marks`; others do not change the marks in the row."""
        self._execute = connection.execute
        self.marks = marks or InFlightMarks()
        self._clear()

    def _clear(self) -> None:
        self.accepted = self.delivered = self.failed = self.removed = 0

    def begin(self) -> None:
        """Start counting, because a transaction begins."""
        self._clear()
        self.marks.begin()

    def write(self) -> None:
        """Write the changes of the transaction, if there are any. Raises sqlite3.Error."""
        marks = self.marks.changed()
        if self.accepted or self.delivered or self.failed or self.removed or marks is not None:
            self._execute(SQL.update_ledger, (self.accepted, self.delivered, self.failed, self.removed, marks))

    def roll_back(self) -> None:
        """Restore the marks, because the transaction was rolled back."""
        self._clear()
        self.marks.roll_back()
