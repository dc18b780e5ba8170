"""One connection to the database: its settings, its statements, and the notice that an outcome is not known.

A statement that the server answers with a warning counts as unknown. With a synchronous standby, "canceling wait for
synchronous replication" is a warning after which the statement succeeds although no standby has it. A connection on
which an error or a warning was seen is closed, because its prepared statements and settings may be gone.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import psycopg
from psycopg.errors import Diagnostic

from mta.queue.interface import QueueError
from mta.queue.postgres.errors import OutcomeUnknown, as_queue_error, no_connection
from mta.queue.postgres.prepared import PreparedStatement, Rows, StatementAnswer

Row = tuple[Any, ...]
Values = Mapping[str, Any]

# Set by statements, because poolers refuse them as options of the start.
_SETTINGS = """
SET search_path = smtprelay;
SET default_transaction_isolation = 'read committed';
SET synchronous_commit = on;
SET client_min_messages = warning;
SET statement_timeout = 0;
SET lock_timeout = '10s';
SET idle_in_transaction_session_timeout = '30s';
SET jit = off;
"""
# The tables of mail on its way grow and shrink a thousandfold within minutes, and a plan that was made while they were
# empty would read them whole. All statements of these connections find rows by an index.
_PLANS = """
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_bitmapscan = off;
"""
# The conditions of an operator's question decide which index is the best, and planning costs little beside the reading.
_READING = "SET plan_cache_mode = force_custom_plan;"


class DatabaseSession:
    """A connection that is made when it is needed. One thread may use it at a time.

    All methods block but for `begin`, `send_rest` and `receive`, by which the reactor's thread executes a statement.
    """

    def __init__(self, parameters: Mapping[str, str], *, changes: bool = True) -> None:
        """`parameters` are those of libpq. `changes` tells that the session changes mail on its way."""
        self._parameters = parameters
        self._changes = changes
        self._connection: psycopg.Connection | None = None
        self._cursor: psycopg.Cursor
        # The names on the server of the prepared statements. A number in each makes it unique.
        self._prepared: dict[bytes, bytes] = {}
        self._numbers = count()
        self._warning = ""
        # The answer to the statement that was begun and has no rows yet.
        self._answer: StatementAnswer | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._connection is not None

    @property
    def connection(self) -> psycopg.Connection:
        """The connection, which is made if there is none. Raises DatabaseAway, and QueueError for a refusal."""
        if self._connection is None:
            self._connect()
        assert self._connection is not None
        return self._connection

    def _connect(self) -> None:
        try:
            connection = psycopg.connect(**self._parameters, autocommit=True)  # type: ignore[arg-type]
            try:
                connection.execute(_SETTINGS + (_PLANS if self._changes else _READING), prepare=False)
            except BaseException:
                connection.close()
                raise
        except psycopg.Error as error:
            raise no_connection(error) from error
        connection.add_notice_handler(self._notice)
        self._connection, self._cursor, self._prepared = connection, connection.cursor(binary=True), {}

    def _notice(self, notice: Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            self._warning = notice.message_primary or "a warning"

    def rows(self, statement: str, values: Values | None = None) -> list[Row]:
        """Execute a statement and return its rows; outside of `transaction` its changes are then durable.

        Raises OutcomeUnknown, Conflict, QueueFull, another QueueError, and DatabaseAway. A value of a statement is
        `%(name)s` there.
        """
        with self._known_outcome(self.connection):
            self._cursor.execute(statement, values, prepare=True)
            return self._cursor.fetchall() if self._cursor.description is not None else []

    def execute(self, statement: PreparedStatement, values: Mapping[str, bytes | None]) -> Rows:
        """Execute a statement with values in the binary format; return its rows in the same. Raises as `rows` does."""
        connection = self.connection
        with self._known_outcome(connection):
            name = self._prepared.get(statement.name)
            if name is None:
                name = self._prepared[statement.name] = b"%s_%d" % (statement.name, next(self._numbers))
                statement.prepare(connection.pgconn, name)
            return statement.execute(connection.pgconn, name, values)

    def is_ready(self, statement: PreparedStatement) -> bool:
        """Whether there is a connection on which a statement is prepared, so that `begin` can send it."""
        return self._connection is not None and statement.name in self._prepared

    def begin(self, statement: PreparedStatement, values: Mapping[str, bytes | None]) -> bool:
        """Begin to execute a statement as `execute` does, without blocking; return whether all of it was sent.

        `is_ready` must be true. Raises as `rows` does.
        """
        connection = self.connection
        self._warning = ""
        with self._closed_by_errors(connection):
            self._answer = statement.send(connection.pgconn, self._prepared[statement.name], values)
            return not connection.pgconn.flush()

    def send_rest(self) -> bool:
        """Send more of the statement that was begun; return whether all of it was sent. Raises as `rows` does."""
        connection = self.connection
        with self._closed_by_errors(connection):
            return not connection.pgconn.flush()

    def receive(self) -> Rows | None:
        """Read the octets that have arrived; return the rows of the statement that was begun once they are complete.

        Before that, and without such a statement, it returns None. Raises as `rows` does.
        """
        connection = self.connection
        with self._closed_by_errors(connection):
            if self._answer is None:
                connection.pgconn.consume_input()
                return None
            rows = self._answer.read()
        if rows is not None:
            self._answer = None
            self._require_no_warning()
        return rows

    @contextmanager
    def _known_outcome(self, connection: psycopg.Connection) -> Iterator[None]:
        """Close the connection and raise a QueueError after an error, and after a warning."""
        self._warning = ""
        with self._closed_by_errors(connection):
            yield
        self._require_no_warning()

    @contextmanager
    def _closed_by_errors(self, connection: psycopg.Connection) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            broken = connection.broken
            self.close()
            raise as_queue_error(error, broken=broken) from error

    def _require_no_warning(self) -> None:
        if self._warning:
            self.close()
            raise OutcomeUnknown(f"the database warned: {self._warning}")

    @contextmanager
    def transaction(self, mode: str = "") -> Iterator[None]:
        """Run the enclosed statements in one transaction, with a mode such as READ ONLY. Raises as `rows` does."""
        self.rows(f"BEGIN {mode}")
        try:
            yield
        except BaseException:
            self._roll_back()
            raise
        self.rows("COMMIT")

    def _roll_back(self) -> None:
        if self._connection is not None:
            with suppress(QueueError):
                self.rows("ROLLBACK")
            # The driver has all prepared statements deallocated after this command.
            self._prepared.clear()

    def cut(self) -> None:
        """End the connection, so that a statement that waits for its answer fails. May be called in any thread."""
        connection = self._connection
        if connection is not None:
            # psycopg must notice it in the thread that waits, which then closes the connection.
            with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as copy:
                copy.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection, which ends a transaction; the next statement makes a new one."""
        connection, self._connection, self._answer = self._connection, None, None
        if connection is not None:
            connection.close()
