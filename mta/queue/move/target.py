"""The database as the target of a move: its messages belong to a node of its own until the last transaction."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors

from mta.queue.interface import QueueError
from mta.queue.move.source import ATTEMPT, COMMON, RECIPIENT, Row, WaitingMessage
from mta.queue.postgres.errors import as_queue_error
from mta.queue.postgres.membership.node import join
from mta.queue.postgres.schema import SCHEMA_KNOWN, check_server, open_schema
from mta.queue.postgres.session import DatabaseSession

# Added to the due time of a message until the move is complete, so that no relay claims it.
_LATER = 1e10
_CHUNK = 256 * 1024
_MESSAGE = f"{COMMON}, chunks, held, held_since, node, token, leased_since, due, doubt"
_HISTORY = f"{COMMON}, token, finished, failed, recipients, node"
_MOVED = "SELECT node, finished IS NOT NULL FROM moved WHERE source = %(source)s"
# A lease without end: while the move is interrupted, no relay takes its node over.
_KEEP = "UPDATE node SET alive_until = 'infinity' WHERE id = %(node)s"
_BEGIN = "INSERT INTO moved (source, node) VALUES (%(source)s, %(node)s)"
_PLACE = "INSERT INTO meta (name, value) VALUES (%(place)s, 0)"
_READ_PLACE = "SELECT value FROM meta WHERE name = %(place)s FOR UPDATE"
_WRITE_PLACE = "UPDATE meta SET value = %(last)s WHERE name = %(place)s"
_COUNT = """
UPDATE lane SET accepted = accepted + %(accepted)s, delivered = delivered + %(delivered)s,
                failed = failed + %(failed)s, removed = removed + %(removed)s
WHERE node = %(node)s AND n = 0 RETURNING accepted
"""
_RELEASE = "UPDATE message SET node = NULL, due = due - %(later)s WHERE node = %(node)s"
_FINISH = (
    "UPDATE moved SET finished = clock_timestamp() WHERE source = %(source)s",
    "DELETE FROM meta WHERE name = %(place)s",
    "UPDATE lane SET fenced = true WHERE node = %(node)s",
    "UPDATE node SET fenced = true, alive_until = clock_timestamp() WHERE id = %(node)s",
)
_CONFIRM = "UPDATE moved SET finished = finished WHERE source = %(source)s AND finished IS NOT NULL"


class TargetQueue:
    """The queue in a database, while a queue in files is moved to it. All methods block, and raise QueueError."""

    def __init__(self, parameters: Mapping[str, str], program: str) -> None:
        """Make the tables if there are none. `program` is the version of this one."""
        self._session = DatabaseSession(parameters, changes=False)
        self._program = program
        self._values: dict[str, Any] = {}
        #: Lines for the operator.
        self.notices = check_server(self._session)
        open_schema(self._session)

    def begin(self, source: int, name: str) -> bool:
        """Begin the move of a source, or go on with it; return whether it is complete already."""
        self._values = {"source": str(source), "place": f"moving {source}"}
        rows = self._session.rows(_MOVED, self._values)
        if not rows:
            node = join(self._session, name, self._program, SCHEMA_KNOWN, 1).id
            self._values["node"] = node
            with self._session.transaction():
                for statement in (_KEEP, _BEGIN, _PLACE):
                    self._session.rows(statement, self._values)
            return False
        complete: bool
        self._values["node"], complete = rows[0]
        return complete

    def place(self) -> int:
        """Return the row number of the last message that was moved, 0 if none was."""
        place: int = self._session.rows(_READ_PLACE, self._values)[0][0]
        return place

    def add(self, messages: Sequence[WaitingMessage]) -> None:
        """Add messages, which no relay claims yet, and go on to the place of the last one."""
        with self._session.transaction():
            self._copy("message", _MESSAGE, map(self._message, messages))
            self._copy("recipient", RECIPIENT, (row for each in messages for row in each.recipients))
            self._copy("attempt", ATTEMPT, (row for each in messages for row in each.attempts))
            bodies = ((each.id, each.body) for each in messages if isinstance(each.body, bytes))
            self._copy("body", "message_id, data", bodies)
            self._copy("chunk", "message_id, n, node, data", (row for each in messages for row in self._chunks(each)))
            self._count(sum(each.waiting for each in messages), 0, 0, 0)
            self._session.rows(_WRITE_PLACE, {**self._values, "last": messages[-1].id})

    def finish(self, history: Iterable[Row], totals: tuple[int, int, int, int]) -> int:
        """Add the history and the ledger, and give the messages to the relays, all in one transaction.

        Returns the number of messages in the history.
        """
        node = self._values["node"]
        with self._session.transaction():
            finished = self._copy("history", _HISTORY, ((*row, node) for row in history))
            already = self._count(0, 0, 0, 0)
            accepted, *others = totals
            self._count(accepted - already, *others)
            self._session.rows(_RELEASE, {"later": _LATER, "node": node})
            for statement in _FINISH:
                self._session.rows(statement, self._values)
        return finished

    def confirm(self) -> None:
        """Commit once more that the move is complete: its own commit may have been seen before it was durable."""
        self._session.rows(_CONFIRM, self._values)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()

    def _message(self, each: WaitingMessage) -> Row:
        chunks = 0 if isinstance(each.body, bytes) else -(-each.common[2] // _CHUNK)
        node, due = self._values["node"], each.due + _LATER
        # A claim has a token from 1 on.
        return (
            *each.common,
            chunks,
            each.held,
            each.held_since,
            node,
            each.token + 1,
            each.leased_since,
            due,
            each.doubt,
        )

    def _chunks(self, each: WaitingMessage) -> Iterator[Row]:
        # A file that is missing is left out: the delivery then fails with a report, as it would have in QUEUE_DIR.
        if not isinstance(each.body, bytes) and each.body.exists():
            with each.body.open("rb") as file:
                for number in range(-(-each.common[2] // _CHUNK)):
                    yield each.id, number, self._values["node"], file.read(_CHUNK)

    def _count(self, accepted: int, delivered: int, failed: int, removed: int) -> int:
        counts = {"accepted": accepted, "delivered": delivered, "failed": failed, "removed": removed}
        total: int = self._session.rows(_COUNT, {**counts, "node": self._values["node"]})[0][0]
        return total

    def _copy(self, table: str, columns: str, rows: Iterable[Row]) -> int:
        """Add rows to a table, and return their number."""
        connection = self._session.connection
        number = 0
        with _errors(connection), connection.cursor().copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
                number += 1
        return number


@contextmanager
def _errors(connection: psycopg.Connection) -> Iterator[None]:
    try:
        yield
    except errors.UniqueViolation as error:
        raise QueueError("an id of this queue belongs to another message in the database: nothing was moved") from error
    except psycopg.Error as error:
        raise as_queue_error(error, broken=connection.broken) from error
