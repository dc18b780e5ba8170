"""Statements that are prepared once for each connection, and whose values the caller has converted.

The driver looks up a conversion for each value, and a statement of its own for each choice of values that are NULL. For
a batch, which has 45 of them, that took half of the relay's work on a small one (measured).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.errors import OperationalError, error_from_result
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

#: The rows of an answer, with values in the binary format.
Rows = list[tuple[bytes | None, ...]]

_VALUE = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True, slots=True)
class PreparedStatement:
    """A statement with a name of its own, and the names of its values in the order of their numbers."""

    name: bytes
    text: bytes
    values: tuple[str, ...]

    def prepare(self, connection: PGconn, name: bytes) -> None:
        """Prepare it on a connection under a name. Raises psycopg.Error."""
        _checked(connection.prepare(name, self.text))

    def execute(self, connection: PGconn, name: bytes, values: Mapping[str, bytes | None]) -> Rows:
        """Execute it under its name, with values in the binary format; return its rows in the same.

        Raises psycopg.Error.
        """
        result = connection.exec_prepared(name, *self._parameters(values))
        return _rows(_checked(result))

    def send(self, connection: PGconn, name: bytes, values: Mapping[str, bytes | None]) -> "StatementAnswer":
        """Begin to execute it under its name on a connection that does not block. Raises psycopg.Error."""
        connection.send_query_prepared(name, *self._parameters(values))
        return StatementAnswer(connection)

    def _parameters(self, values: Mapping[str, bytes | None]) -> tuple[list[Any], list[int], Format]:
        """Return the values in the order of their numbers, their formats, and the format of the rows."""
        # psycopg declares no NULL here.
        return [values[each] for each in self.values], [Format.BINARY] * len(self.values), Format.BINARY


class StatementAnswer:
    """The answer to a statement that was sent, which is read without blocking."""

    def __init__(self, connection: PGconn) -> None:
        self._connection = connection
        self._result: PGresult | None = None

    def read(self) -> Rows | None:
        """Read the octets that have arrived; return the rows once the answer is complete, and None before.

        Raises psycopg.Error. The last result counts, because the commit can fail after the statement.
        """
        connection = self._connection
        try:
            connection.consume_input()
            while not connection.is_busy():
                result = connection.get_result()
                if result is None:
                    assert self._result is not None
                    return _rows(_checked(self._result))
                self._result = result
        except OperationalError:
            # The server may have told why it would end the connection.
            if self._result is not None:
                _checked(self._result)
            raise
        return None


def prepared_statement(name: str, text: str) -> PreparedStatement:
    """Return a statement whose values are `%(name)s` in its text. No other statement may have its name."""
    values = tuple(dict.fromkeys(_VALUE.findall(text)))
    numbered = _VALUE.sub(lambda found: f"${values.index(found[1]) + 1}", text)
    return PreparedStatement(name.encode(), numbered.encode(), values)


def _checked(result: PGresult) -> PGresult:
    if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        raise error_from_result(result)
    return result


def _rows(result: PGresult) -> Rows:
    columns = range(result.nfields)
    return [tuple(result.get_value(row, column) for column in columns) for row in range(result.ntuples)]
