"""What a start does about the process before it; `queue_schema/README.md` has the table of states."""

import sqlite3
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from mta.queue.bodies import Bodies
from mta.queue.commit import GroupCommit
from mta.queue.ids import to_id
from mta.queue.interface import QueueError, QueueId
from mta.queue.marks import Marks, stored_marks
from mta.queue.mergemark import refuse_marked
from mta.queue.statements import SQL
from mta.smtp.address import Address

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
    doubtful: tuple[tuple[QueueId, Address], ...] = ()
    #: Given to who sends; None beside a running relay.
    marks: Marks | None = None


def take_over(connection: sqlite3.Connection, bodies: Bodies, now: float) -> Recovery:
    """Give every lease back, due at once; remove files of no message. Raises QueueError, sqlite3.Error, OSError."""
    # The rows of its bodies may be in the other file still.
    refuse_marked(connection)
    leases = connection.execute(SQL.recover_leases, (now,)).rowcount
    expected = {to_id(number) for (number,) in connection.execute(SQL.waiting_files)}
    strays, missing = bodies.sweep(expected)
    marks = Marks()
    marked = marks.load(stored_marks(connection))
    return Recovery(leases, strays, missing, tuple(_doubtful(connection, marked)), marks)


def _doubtful(
    connection: sqlite3.Connection, marked: Mapping[int, Collection[int]]
) -> Iterator[tuple[QueueId, Address]]:
    for number, indexes in sorted(marked.items()):
        for index in sorted(indexes):
            row = connection.execute(SQL.still_waiting, (number, index)).fetchone()
            if row is not None:
                yield to_id(number), Address(*row)


def hurry(commit: GroupCommit, connection: sqlite3.Connection, now: float) -> "Deferred[None]":
    """Make everything that waits unheld due now, slice by slice, beside the mail that goes through meanwhile."""
    return Deferred.fromCoroutine(_hurry(commit, connection, now))


async def _hurry(commit: GroupCommit, connection: sqlite3.Connection, now: float) -> None:
    (newest,) = connection.execute(SQL.newest).fetchone()
    last: int | None = 0
    try:
        while newest is not None and last is not None:
            last = await commit.submit(partial(_hurry_slice, connection, now, last, newest), True)
    except QueueError as error:
        # They come due by themselves, only later.
        _log.info("not all queued mail could be made due at start: {error}", error=str(error))


def _hurry_slice(connection: sqlite3.Connection, now: float, last: int, newest: int) -> int | None:
    """Return the last id of the slice, None when there is none left."""
    end: int | None = connection.execute(SQL.hurry_slice, (last, newest, SLICE)).fetchone()[0]
    if end is not None:
        connection.execute(SQL.hurry, (now, last, end))
    return end
