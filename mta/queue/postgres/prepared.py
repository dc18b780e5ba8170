"""Statements that are prepared once for each connection, and whose values the caller has converted.

The driver looks up a conversion for each value, and a statement of its own for each choice of values that are NULL. For
a batch, which has 45 of them, that took half of the relay's work on a small one (measured).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

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

    def execute(
        self, connection: PGconn, name: bytes, values: Mapping[str, bytes | None]
    ) -> list[tuple[bytes | None, ...]]:
        """Execute it under its name, with values in the binary format; return its rows in the same.

        Raises psycopg.Error.
        """
        # psycopg declares no NULL here.
        ordered: list[Any] = [values[each] for each in self.values]
        result = _checked(connection.exec_prepared(name, ordered, [Format.BINARY] * len(ordered), Format.BINARY))
        columns = range(result.nfields)
        return [tuple(result.get_value(row, column) for column in columns) for row in range(result.ntuples)]


def prepared_statement(name: str, text: str) -> PreparedStatement:
    """Return a statement whose values are `%(name)s` in its text. No other statement may have its name."""
    values = tuple(dict.fromkeys(_VALUE.findall(text)))
    numbered = _VALUE.sub(lambda found: f"${values.index(found[1]) + 1}", text)
    return PreparedStatement(name.encode(), numbered.encode(), values)


def _checked(result: PGresult) -> PGresult:
    if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        raise error_from_result(result)
    return result
