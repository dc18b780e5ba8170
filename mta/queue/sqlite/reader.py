"""Reads the queue for operators, on a connection of its own so that a long read does not delay mail."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred, DeferredLock, fail

from mta.blocking import RunBlocking
from mta.queue.disk.files import BODIES
from mta.queue.errors import as_queue_error
from mta.queue.ids import to_id, to_number
from mta.queue.interface import Audit, DomainShape, Entry, Ledger, Load, Query, QueueError, QueueId, Status, Summary
from mta.queue.search.conditions import Conditions
from mta.queue.sqlite.operator.entries import domains, find
from mta.queue.sqlite.operator.search import count_messages, search
from mta.queue.sqlite.schema import PAGE_SIZE, connect_for_reading
from mta.queue.sqlite.statements import SQL

T = TypeVar("T")


class _ReadingConnection:
    """One connection, which does one read after the other."""

    def __init__(self, path: Path, run: RunBlocking) -> None:
        self._path = path
        self._run = run
        self._lock = DeferredLock()
        self._connection: sqlite3.Connection | None = None

    def read(self, work: Callable[[sqlite3.Connection], T]) -> "Deferred[T]":
        """Return the result of a read."""
        return self._lock.run(self._run, lambda: self._read_blocking(work))

    def close(self) -> "Deferred[None]":
        """Close after the last read."""
        return self._lock.run(self._run, self._close)

    def _read_blocking(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = connect_for_reading(self._path)
            return work(self._connection)
        except sqlite3.Error as error:
            raise as_queue_error(error) from error

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class Reader:
    """Reads committed rows in threads; the Deferreds fail with QueueError.

    Reads of the whole history have a connection of their own, so that others need not wait for seconds.
    """

    def __init__(self, path: Path, run: RunBlocking) -> None:
        self._path = path
        self._short = _ReadingConnection(path, run)
        self._long = _ReadingConnection(path, run)
        self._closed = False

    def find(self, query: Query) -> "Deferred[list[Entry]]":
        """Return the messages of a query in its order."""
        return self._read(lambda connection: _in_snapshot(connection, lambda: find(connection, query)))

    def count(self, conditions: Conditions, *, finished: bool = False) -> "Deferred[int]":
        """Return the number of messages that meet conditions."""
        read = self._read_long if finished else self._read
        return read(lambda connection: count_messages(connection, conditions, finished=finished))

    def select(self, conditions: Conditions) -> "Deferred[list[QueueId]]":
        """Return the ids of the waiting messages that meet conditions."""
        query = Query(conditions=conditions, limit=-1)
        return self._read(lambda connection: [to_id(number) for number in search(connection, query)])

    def domains(self, now: float) -> "Deferred[list[DomainShape]]":
        """Return the waiting recipients by domain."""
        return self._read(lambda connection: _in_snapshot(connection, lambda: domains(connection, now)))

    def summary(self) -> "Deferred[Summary]":
        """Return the counts of messages and recipients."""
        return self._read_long(summary)

    def load(self, now: float) -> "Deferred[Load]":
        """Return the messages that are due now, and the octets of all that wait."""
        return self._read(lambda connection: Load(*connection.execute(SQL.load, (now,)).fetchone()))

    def content(self, id: QueueId) -> "Deferred[bytes | None]":
        """Return the octets of a waiting message, or None if no message with this id is waiting."""
        return self._read(lambda connection: content(connection, self._path.parent, id))

    def audit(self) -> "Deferred[Audit]":
        """Return the facts for an audit."""
        return self._read_long(audit)

    def reusable(self) -> "Deferred[int]":
        """Return the octets of the free pages in the file."""
        return self._read(reusable)

    def close(self) -> "Deferred[None]":
        """Close after the last read; later reads fail."""
        self._closed = True
        return self._short.close().addCallback(lambda _: self._long.close())

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> "Deferred[T]":
        return self._read_by(self._short, work)

    def _read_long(self, work: Callable[[sqlite3.Connection], T]) -> "Deferred[T]":
        return self._read_by(self._long, work)

    def _read_by(self, connection: _ReadingConnection, work: Callable[[sqlite3.Connection], T]) -> "Deferred[T]":
        if self._closed:
            return fail(QueueError("the queue is closed"))
        return connection.read(work)


def content(connection: sqlite3.Connection, home: Path, id: QueueId) -> bytes | None:
    """Return the octets of a waiting message. Raises sqlite3.Error, and QueueError if its file cannot be read."""
    row = connection.execute(SQL.content, (to_number(id),)).fetchone()
    if row is None:
        return None
    in_file, data = row
    try:
        return (home / BODIES / id).read_bytes() if in_file else bytes(data)
    except OSError as error:
        raise QueueError(f"the body of message {id} cannot be read: {error.strerror}") from error


def summary(connection: sqlite3.Connection) -> Summary:
    """Return the counts of messages and recipients. Raises sqlite3.Error."""
    with _snapshot(connection):
        (finished,) = connection.execute(SQL.count_finished).fetchone()
        failed, unreported = connection.execute(SQL.count_failed).fetchone()
        return replace(_summary(connection), finished=finished, failed=failed, unreported=unreported)


def audit(connection: sqlite3.Connection) -> Audit:
    """Return the facts for an audit. Raises sqlite3.Error."""
    with _snapshot(connection):
        first = connection.execute(SQL.first_due).fetchone()
        never_due = connection.execute(SQL.never_due).fetchone()
        return Audit(
            _summary(connection).ledger,
            None if first is None else (to_id(first[0]), first[1]),
            None if never_due is None else to_id(never_due[0]),
        )


def reusable(connection: sqlite3.Connection) -> int:
    """Return the octets of the free pages in a queue file. Raises sqlite3.Error."""
    pages: int = connection.execute(SQL.free_pages).fetchone()[0]
    return pages * PAGE_SIZE


def _in_snapshot(connection: sqlite3.Connection, read: Callable[[], T]) -> T:
    with _snapshot(connection):
        return read()


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Run the enclosed reads in one transaction, so that they see a single snapshot."""
    connection.execute(SQL.begin_reading)
    try:
        yield
    finally:
        connection.execute(SQL.rollback)


def _summary(connection: sqlite3.Connection) -> Summary:
    messages, held, claimed = connection.execute(SQL.count_messages).fetchone()
    (oldest,) = connection.execute(SQL.oldest).fetchone()
    counts = dict.fromkeys(Status, 0)
    for status, count in connection.execute(SQL.count_recipients):
        counts[Status(status)] = count
    accepted, delivered, failed, removed = connection.execute(SQL.ledger).fetchone()
    ledger = Ledger(accepted, delivered, failed, removed, counts[Status.WAITING])
    return Summary(messages, held, claimed, oldest, counts, ledger)
