"""Finds the messages of a query in the queue file."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace

from mta.queue.entries import Query
from mta.queue.ids import known_numbers
from mta.queue.search.conditions import Conditions, State
from mta.queue.sql.conditions import SearchTables, Where, only_waiting
from mta.queue.sqlite.rows import ids_json

_TABLES = SearchTables(
    like=r"{} LIKE ? ESCAPE '\'",
    recipients="recipient AS r WHERE r.message_id = m.id",
    states={
        State.WAITING: "(r.due IS NOT NULL AND m.held = 0)",
        State.HELD: "(r.due IS NOT NULL AND m.held = 1)",
        State.DELIVERED: "r.status = 'delivered'",
        State.FAILED: "r.status = 'failed'",
        State.REMOVED: "r.status = 'removed'",
    },
)
_MESSAGES = "message AS m NOT INDEXED"
# The messages of the index of failures, which keeps a search for these from reading the whole history.
_FAILED_TABLES = replace(_TABLES, id="f.message_id")
_FAILED = "recipient AS f INDEXED BY failed CROSS JOIN message AS m NOT INDEXED ON m.id = f.message_id"
# The index of waiting messages keeps a search for them from reading the history.
_WAITING = "m.id IN (SELECT id FROM message INDEXED BY waiting WHERE due IS NOT NULL)"
# For the further parts of a list: all parts together read the rows once, but each would read the whole index.
_STILL_WAITING = "m.due IS NOT NULL"


def search(connection: sqlite3.Connection, query: Query) -> Iterator[int]:
    """Yield the row numbers of the messages that a query selects, in its order. Raises sqlite3.Error."""
    in_parts = query.before is not None or query.after is not None
    where = _where(query.conditions, finished=query.finished, waiting=_STILL_WAITING if in_parts else _WAITING)
    if query.ids:
        where.add("m.id IN (SELECT value FROM json_each(?))", ids_json(known_numbers(query.ids)))
    where.add_cursors(query)
    id = where.tables.id
    order = f"ORDER BY {id} {'DESC' if query.newest_first else 'ASC'}"
    # A message comes once, even if several of its recipients have failed.
    statement = f"SELECT {id} FROM {_from(where)} WHERE {where.text} GROUP BY {id} {order} LIMIT ?"  # noqa: S608 (constant parts)
    for (number,) in connection.execute(statement, (*where.values, query.limit)):
        yield number


def count_messages(connection: sqlite3.Connection, conditions: Conditions, *, finished: bool) -> int:
    """Return the number of messages that meet conditions. Raises sqlite3.Error."""
    where = _where(conditions, finished=finished)
    each = "*" if where.tables is _TABLES else "DISTINCT m.id"
    statement = f"SELECT count({each}) FROM {_from(where)} WHERE {where.text}"  # noqa: S608 (constant parts)
    number: int = connection.execute(statement, where.values).fetchone()[0]
    return number


def _from(where: Where) -> str:
    return _MESSAGES if where.tables is _TABLES else _FAILED


def _where(wanted: Conditions, *, finished: bool, waiting: str = _WAITING) -> Where:
    where = Where(_TABLES)
    if wanted.states == (State.FAILED,):
        where = Where(_FAILED_TABLES, ["f.status = 'failed'"])
    if only_waiting(wanted, finished=finished):
        where.add(waiting)
    where.add_conditions(wanted)
    return where
