"""Which copies may be on their way to the next host, as one text in the queue file: a JSON object of ranges by message.

A mark is durable before the end of the data is sent and goes with the settlement. What is marked at a start was perhaps
taken by a host that the process before had no time to hear: it is sent again, and the operator is told.

The ledger's half of each transaction: what it changed, counted while it runs and written before it is committed.

One statement a transaction, however many messages share it. Counted are recipients, for these are what is delivered.
"""

import json
import sqlite3
from collections.abc import Collection, Iterator

from mta.queue.sqlite.statements import SQL

# The usual message has one recipient.
_FIRST = frozenset((0,))


class InFlightMarks:
    """The marks of one queue by row number, and those that a transaction under way changed."""

    def __init__(self) -> None:
        self._indexes: dict[int, frozenset[int]] = {}
        self._texts: dict[int, str] = {}
        # What was marked by the process before, which was told to the operator then.
        self._told: set[int] = set()
        # Numbers and what they had before, in the order of the changes since `begin`.
        self._undo: list[tuple[int, frozenset[int]]] = []

    def load(self, text: str) -> dict[int, frozenset[int]]:
        """Begin with the marks of the process before, and return them."""
        found = read_marks(text)
        for number, indexes in found.items():
            self._set(number, indexes)
        self._told = set(found)
        return found

    def begin(self) -> None:
        """A transaction begins."""
        self._undo.clear()

    def put(self, number: int, indexes: Collection[int]) -> frozenset[int]:
        """Mark recipients of a message; return those that had a mark already, of which nobody was told."""
        before = self._indexes.get(number)
        if before is None:
            self._change(number, _FIRST if len(indexes) == 1 and 0 in indexes else frozenset(indexes))
            return frozenset()
        self._change(number, before.union(indexes))
        if number in self._told:
            self._told.discard(number)
            return frozenset()
        return before.intersection(indexes)

    def clear_told(self) -> None:
        """Take the marks of the process before away, of which the operator was told; marks that were put since stay."""
        for number in self._told:
            self.clear(number)
        self._told.clear()

    def lift(self, number: int, indexes: Collection[int]) -> None:
        """Take the marks of these recipients away."""
        before = self._indexes.get(number)
        if before is not None:
            self._change(number, before.difference(indexes))

    def clear(self, number: int) -> None:
        """Take all marks of a message away."""
        if number in self._indexes:
            self._change(number, frozenset())

    def changed(self) -> str | None:
        """Return the text of all marks if there was a change since `begin`."""
        return f"{{{','.join(self._texts.values())}}}" if self._undo else None

    def roll_back(self) -> None:
        """Take the changes since `begin` back."""
        for number, indexes in reversed(self._undo):
            self._set(number, indexes)
        self._undo.clear()

    def _change(self, number: int, indexes: frozenset[int]) -> None:
        self._undo.append((number, self._indexes.get(number, frozenset())))
        self._set(number, indexes)

    def _set(self, number: int, indexes: frozenset[int]) -> None:
        if not indexes:
            self._indexes.pop(number, None)
            self._texts.pop(number, None)
            return
        self._indexes[number] = indexes
        ranges = "[0,0]" if indexes is _FIRST else ",".join(f"[{first},{last}]" for first, last in _ranges(indexes))
        self._texts[number] = f'"{number}":[{ranges}]'


def read_marks(text: str) -> dict[int, frozenset[int]]:
    """Return the recipients' indexes by the message's row number. Raises ValueError for text that holds no marks."""
    return {
        int(number): frozenset(index for first, last in ranges for index in range(first, last + 1))
        for number, ranges in json.loads(text).items()
    }


def stored_marks(connection: sqlite3.Connection) -> str:
    """Return the marks of a queue file. Raises sqlite3.Error."""
    text: str = connection.execute(SQL.in_flight_marks).fetchone()[0]
    return text


def _ranges(indexes: frozenset[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last of each unbroken run."""
    first = last = -2
    for index in sorted(indexes):
        if index != last + 1:
            if last >= 0:
                yield first, last
            first = index
        last = index
    yield first, last


class LedgerDelta:
    """Counts and marks of one connection. Who changes a recipient's row adds to the counts."""

    __slots__ = ("_execute", "_sending", "accepted", "delivered", "failed", "marks", "removed")

    def __init__(self, connection: sqlite3.Connection, marks: InFlightMarks | None = None) -> None:
        """`marks` are given to the connection that sends; the others leave the row's marks alone."""
        self._execute = connection.execute
        self.marks = marks or InFlightMarks()
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
            self._execute(SQL.update_ledger, (self.accepted, self.delivered, self.failed, self.removed, sending))

    def roll_back(self) -> None:
        """The transaction was taken back: the marks are what they were before it."""
        self._clear()
        self.marks.roll_back()
