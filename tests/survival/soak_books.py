"""The books of a soak, in memory that its processes share: counts, and one octet a recipient for each question.

Five million recipients are a few megabytes; each octet has one writer.
"""

import mmap
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import IntEnum, auto
from pathlib import Path


class Count(IntEnum):
    """The counts. Each has one process that writes it."""

    # Written by the leading process: messages a second (0: as many as possible), and whether to go on.
    RATE = 0
    OVER = auto()
    # By the clients
    SENT = auto()
    ACCEPTED = auto()
    REFUSED = auto()
    LOST = auto()
    CLIENT_FAULTS = auto()
    BEHIND = auto()
    # By the sink
    ARRIVED = auto()
    REPORTS = auto()
    REMOTE_FAULTS = auto()
    CONNECTIONS = auto()
    WRONG = auto()


class Sent(IntEnum):
    """The client's knowledge of a recipient."""

    NEVER = 0
    #: The end of data went out, and no answer came.
    DOUBT = 1
    ACCEPTED = 2


#: By the client, by the sink (four; `unanswered` counts copies it took without a clear yes), by the reader of the log
#: (two), by the operator.
COLUMNS = ("sent", "arrived", "unanswered", "spoilt", "reported", "excused", "failed", "removed")


class Books:
    """The shared memory, in a folder: made by the first who opens it, with room for `capacity` recipients."""

    def __init__(self, folder: Path, capacity: int) -> None:
        self.capacity = capacity
        self.counts = memoryview(_shared(folder / "counts", 8 * len(Count))).cast("q")
        for column in COLUMNS:
            setattr(self, column, _shared(folder / column, capacity))

    sent: mmap.mmap
    arrived: mmap.mmap
    unanswered: mmap.mmap
    spoilt: mmap.mmap
    reported: mmap.mmap
    excused: mmap.mmap
    failed: mmap.mmap
    removed: mmap.mmap

    def add(self, column: mmap.mmap, number: int) -> None:
        """Count one up, as far as an octet goes; a number that is no recipient's is WRONG."""
        if not 0 <= number < self.capacity:
            self.counts[Count.WRONG] += 1
        elif column[number] < 255:
            column[number] += 1


def _shared(path: Path, size: int) -> mmap.mmap:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(handle).st_size < size:
            os.ftruncate(handle, size)
        return mmap.mmap(handle, size)
    finally:
        os.close(handle)


@dataclass
class Audit:
    """The outcomes of all recipients in the books of the test, and the faults (the first of each kind)."""

    accepted: int = 0
    #: Accepted though the client never heard so: it broke off, or the relay was stopped.
    unheard: int = 0
    delivered: int = 0
    failed: int = 0
    removed: int = 0
    #: Delivered according to the sink, and yet failed or removed: the relay could not know, and said so.
    ambiguous: int = 0
    waiting: int = 0
    duplicates: int = 0
    #: Duplicates without a line in the log: those whose host took a copy without a clear yes, so that the line was lost
    #: with the unwritten output of a killed daemon, and all others, which are faults.
    unlogged: int = 0
    unexplained: int = 0
    lost: int = 0
    faults: list[str] | None = None

    def fault(self, words: str) -> None:
        """Note a fault."""
        self.faults = self.faults or []
        if len(self.faults) < 20:
            self.faults.append(words)


@dataclass(frozen=True, slots=True)
class Row:
    """All that is known of one recipient; the columns of the books."""

    sent: int
    arrived: int
    unanswered: int
    spoilt: int
    reported: int
    excused: int
    failed: int
    removed: int


def audit(books: Books, waiting: Collection[int]) -> Audit:
    """Look at every recipient. `waiting` are the recipients, by number, that the queue still holds."""
    result = Audit()
    for number, row in _rows(books):
        _judge(result, number, Row(*row), waits=number in waiting)
    return result


def _rows(books: Books) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield the rows that are not empty, piece by piece, so that unused memory is not touched."""
    piece = 1 << 16
    nothing = bytes(piece)
    for at in range(0, books.capacity, piece):
        columns = [getattr(books, name)[at : at + piece] for name in COLUMNS]
        if all(column == nothing[: len(column)] for column in columns):
            continue
        for offset, row in enumerate(zip(*columns, strict=True)):
            if any(row):
                yield at + offset, row


def _judge(result: Audit, number: int, row: Row, *, waits: bool) -> None:
    ends = bool(row.arrived) + bool(row.failed) + bool(row.removed)
    known = bool(ends or waits)
    if row.sent == Sent.NEVER and known:
        result.fault(f"recipient {number} was never accepted, and yet there is {row}")
    result.unheard += row.sent == Sent.DOUBT and known
    if row.sent == Sent.ACCEPTED:
        result.accepted += 1
        if not known:
            result.lost += 1
            result.fault(f"recipient {number} was accepted and is lost")
    unlogged = max(0, row.arrived - 1 - row.excused)
    unexplained = max(0, unlogged - row.unanswered)
    result.duplicates += max(0, row.arrived - 1)
    result.unlogged += unlogged - unexplained
    result.unexplained += unexplained
    if unexplained:
        result.fault(f"recipient {number} arrived {row.arrived} times, and the log explains {row.excused}")
    if row.failed and not row.reported:
        result.fault(f"recipient {number} failed, and its sender was not told")
    if ends > 1:
        result.ambiguous += 1
        if row.failed and row.arrived and not (row.excused or row.unanswered):
            result.fault(f"recipient {number} arrived and failed, and the log does not say that it may have arrived")
    result.failed += bool(row.failed)
    result.removed += bool(row.removed and not row.failed)
    result.delivered += bool(row.arrived and not row.failed and not row.removed)
    result.waiting += waits and not ends
