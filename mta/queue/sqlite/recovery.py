"""What a start does about the process before it; `queue_schema/README.md` has the table of states.

The mark in a queue file that says how far the merge of another worker's queue into it has come.
"""

import enum
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mta.queue.ids import to_id
from mta.queue.interface import QueueError, QueueId
from mta.queue.sqlite.bodies import Bodies
from mta.queue.sqlite.group_commit import GroupCommit
from mta.queue.sqlite.ledger import InFlightMarks, stored_marks
from mta.queue.sqlite.schema import connect_untouched
from mta.queue.sqlite.statements import SQL
from mta.smtp.address import Address


class MergePhase(enum.Enum):
    """What may be missing still: MERGING, rows of the other queue; MERGED, only its removal."""

    MERGING = "merging"
    MERGED = "merged"


@dataclass(frozen=True, slots=True)
class MergeMark:
    """The worker whose queue becomes part of the file, and how far that has come."""

    worker: int
    phase: MergePhase


def read_merge_mark(connection: sqlite3.Connection) -> MergeMark | None:
    """Return the mark of an open queue file. Raises sqlite3.Error."""
    row = connection.execute(SQL.merge_mark).fetchone()
    return None if row is None else MergeMark(row[1], MergePhase(row[0]))


def put_merge_mark(connection: sqlite3.Connection, mark: MergeMark | None, *, along: str | None = None) -> None:
    """Make this the only mark, durably, in one transaction with the statement `along`. Raises sqlite3.Error."""
    connection.execute(SQL.begin)
    if along is not None:
        connection.execute(along)
    connection.execute(SQL.clear_merge_mark)
    if mark is not None:
        connection.execute(SQL.set_merge_mark, (mark.phase.value, mark.worker))
    connection.execute(SQL.commit)


def may_be_marked(path: Path) -> bool:
    """Whether a queue file has a mark, without a touch; a file that cannot be read may have one."""
    if not path.exists():
        return False
    try:
        with closing(connect_untouched(path)) as connection:
            return read_merge_mark(connection) is not None
    except sqlite3.Error:
        return True


def refuse_marked(connection: sqlite3.Connection) -> None:
    """Refuse to work with a file that lacks mail. Raises QueueError, sqlite3.Error."""
    mark = read_merge_mark(connection)
    if mark is not None:
        raise QueueError(f"the queue of worker {mark.worker} is merged only in part: the relay must finish that first")


#: Messages in one transaction while all are made due: a few hundredths of a second, so that new mail passes between.
SLICE = 4000
_log = Logger()


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found: leases taken back, body files removed, and waiting messages whose body file is missing."""

    leases: int = 0
    strays: int = 0
    missing: tuple[QueueId, ...] = ()
    #: Recipients that wait though their copy may have been taken by the next host.
    possible_duplicates: tuple[tuple[QueueId, Address], ...] = ()
    #: Given to who sends; None beside a running relay.
    marks: InFlightMarks | None = None


def take_over(connection: sqlite3.Connection, bodies: Bodies, now: float) -> Recovery:
    """Give every lease back, due at once; remove files of no message. Raises QueueError, sqlite3.Error, OSError."""
    # The rows of its bodies may be in the other file still.
    refuse_marked(connection)
    leases = connection.execute(SQL.recover_leases, (now,)).rowcount
    expected = {to_id(number) for (number,) in connection.execute(SQL.waiting_files)}
    strays, missing = bodies.sweep(expected)
    marks = InFlightMarks()
    marked = marks.load(stored_marks(connection))
    return Recovery(leases, strays, missing, tuple(_possible_duplicates(connection, marked)), marks)


def _possible_duplicates(
    connection: sqlite3.Connection, marked: Mapping[int, Collection[int]]
) -> Iterator[tuple[QueueId, Address]]:
    for number, indexes in sorted(marked.items()):
        for index in sorted(indexes):
            row = connection.execute(SQL.still_waiting, (number, index)).fetchone()
            if row is not None:
                yield to_id(number), Address(*row)


def make_all_due(commit: GroupCommit, connection: sqlite3.Connection, now: float) -> "Deferred[None]":
    """Make everything that waits unheld due now, slice by slice, beside the mail that goes through meanwhile."""
    return Deferred.fromCoroutine(_make_all_due(commit, connection, now))


async def _make_all_due(commit: GroupCommit, connection: sqlite3.Connection, now: float) -> None:
    (newest,) = connection.execute(SQL.newest).fetchone()
    last: int | None = 0
    try:
        while newest is not None and last is not None:
            last = await commit.submit(partial(_make_slice_due, connection, now, last, newest), True)
    except QueueError as error:
        # They come due by themselves, only later.
        _log.info("not all queued mail could be made due at start: {error}", error=str(error))


def _make_slice_due(connection: sqlite3.Connection, now: float, last: int, newest: int) -> int | None:
    """Return the last id of the slice, None when there is none left."""
    end: int | None = connection.execute(SQL.slice_end, (last, newest, SLICE)).fetchone()[0]
    if end is not None:
        connection.execute(SQL.make_due, (now, last, end))
    return end
