"""The recovery of a queue at start, after the process before it ended or was killed.

`take_over` ends the leases of that process and removes its stray files; `queue_schema/README.md` has the table of
crash states. `make_all_due` lets waiting messages be tried at once. A queue whose file has a merge mark is refused,
because a merge of another worker's queue into it was interrupted and must be finished first.
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

from mta.queue.ids import LEAST_RELEASE, MOST_RELEASE, to_id
from mta.queue.interface import QueueError, QueueId
from mta.queue.sql.marks import InFlightMarks
from mta.queue.sqlite.bodies import Bodies
from mta.queue.sqlite.group_commit import GroupCommit
from mta.queue.sqlite.ledger import stored_marks
from mta.queue.sqlite.schema import connect_untouched
from mta.queue.sqlite.statements import SQL
from mta.smtp.address import Address

#: Messages made due by one transaction, for which new mail waits (measured: 2 ms on a busy machine).
SLICE = 1000
_log = Logger()


@dataclass(frozen=True, slots=True)
class Recovery:
    """The results of a recovery."""

    #: Leases that were ended.
    leases: int = 0
    #: Body files that were removed.
    strays: int = 0
    #: Waiting messages whose body file is missing.
    missing: tuple[QueueId, ...] = ()
    #: Waiting recipients whose copy a host may have accepted.
    possible_duplicates: tuple[tuple[QueueId, Address], ...] = ()
    #: The marks that the relay continues; None beside a running relay.
    marks: InFlightMarks | None = None


def take_over(connection: sqlite3.Connection, bodies: Bodies, now: float) -> Recovery:
    """End all leases, so that their messages are due at once, and remove body files that no waiting message has.

    Raises QueueError, sqlite3.Error, OSError.
    """
    # During a merge the rows of these body files may still be in the other queue file.
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
    """Make all waiting messages due now that are not held, slice by slice, while the queue is in use. Never fails."""
    return Deferred.fromCoroutine(_make_all_due(commit, connection, now))


async def _make_all_due(commit: GroupCommit, connection: sqlite3.Connection, now: float) -> None:
    (newest,) = connection.execute(SQL.newest).fetchone()
    last: int | None = 0
    try:
        while newest is not None and last is not None:
            last = await commit.submit(partial(_make_slice_due, connection, now, last, newest), True)
    except QueueError as error:
        # The remaining messages keep their due times.
        _log.info("not all queued mail could be made due at start: {error}", error=str(error))


def _make_slice_due(connection: sqlite3.Connection, now: float, last: int, newest: int) -> int | None:
    """Return the last row number of the slice, or None if no message is left."""
    end: int | None = connection.execute(SQL.slice_end, (last, newest, SLICE)).fetchone()[0]
    if end is not None:
        connection.execute(SQL.make_due, (now, last, end, LEAST_RELEASE, MOST_RELEASE))
    return end


class MergePhase(enum.Enum):
    """The progress of a merge: MERGING until all files and rows are there, MERGED until the other queue is removed."""

    MERGING = "merging"
    MERGED = "merged"


@dataclass(frozen=True, slots=True)
class MergeMark:
    """The worker whose queue is being merged into the file, and the progress of that."""

    worker: int
    phase: MergePhase


def read_merge_mark(connection: sqlite3.Connection) -> MergeMark | None:
    """Return the merge mark of an open queue file, or None. Raises sqlite3.Error."""
    row = connection.execute(SQL.merge_mark).fetchone()
    return None if row is None else MergeMark(row[1], MergePhase(row[0]))


def put_merge_mark(connection: sqlite3.Connection, mark: MergeMark | None, *, along: str | None = None) -> None:
    """Set the merge mark, or clear it, in one transaction with the statement `along`. Raises sqlite3.Error."""
    connection.execute(SQL.begin)
    if along is not None:
        connection.execute(along)
    connection.execute(SQL.clear_merge_mark)
    if mark is not None:
        connection.execute(SQL.set_merge_mark, (mark.phase.value, mark.worker))
    connection.execute(SQL.commit)


def may_be_marked(path: Path) -> bool:
    """Whether a queue file has a merge mark or cannot be read. The file is not changed."""
    if not path.exists():
        return False
    try:
        with closing(connect_untouched(path)) as connection:
            return read_merge_mark(connection) is not None
    except sqlite3.Error:
        return True


def refuse_marked(connection: sqlite3.Connection) -> None:
    """Raise QueueError if the file has a merge mark, because mail is missing in it. Raises sqlite3.Error."""
    mark = read_merge_mark(connection)
    if mark is not None:
        raise QueueError(f"the queue of worker {mark.worker} is merged only in part: the relay must finish that first")
