"""What an operator and the passing of time do to the tables, inside a transaction of somebody else's."""

import sqlite3
from collections.abc import Sequence

from mta.queue.ids import to_id
from mta.queue.interface import Change, QueueId
from mta.queue.rows import ids_json, known_numbers
from mta.queue.statements import SQL
from mta.queue.tally import Tally

# An operator who holds a message back does not expect that a retry of all the others lets it go.
_EVERYTHING = {Change.RETRY: SQL.all_unheld, Change.RELEASE: SQL.all_held}


def amend(
    connection: sqlite3.Connection, change: Change, ids: Sequence[QueueId] | None, now: float, tally: Tally
) -> tuple[list[QueueId], list[QueueId]]:
    """Do what was asked; return the ids it was done to, and those whose files may go. Raises sqlite3.Error."""
    if ids is None:
        rows = connection.execute(_EVERYTHING.get(change, SQL.all_waiting)).fetchall()
    else:
        rows = connection.execute(SQL.waiting_among, (ids_json(known_numbers(ids)),)).fetchall()
    numbers = ids_json(number for number, _ in rows)
    done = [to_id(number) for number, _ in rows]
    if change is Change.REMOVE:
        tally.removed += _remove(connection, numbers, now)
        return done, [to_id(number) for number, in_file in rows if in_file]
    if change is Change.RETRY:
        connection.execute(SQL.retry, (now, numbers))
    else:
        held = change is Change.HOLD
        connection.execute(SQL.hold, (held, now if held else None, numbers))
    return done, []


def _remove(connection: sqlite3.Connection, numbers: str, now: float) -> int:
    """Return how many recipients were waiting."""
    removed = connection.execute(SQL.remove_recipients, (now, numbers)).rowcount
    connection.execute(SQL.remove_messages, (now, numbers))
    connection.execute(SQL.remove_bodies, (numbers,))
    return removed


def forget(connection: sqlite3.Connection, before: float, limit: int) -> int:
    """Drop messages from the history; return how many. Raises sqlite3.Error."""
    return connection.execute(SQL.forget, (before, limit)).rowcount
