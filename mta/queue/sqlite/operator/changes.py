"""Finds the messages that changed since a time, for a start that has to tell other programs of the changes."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mta.queue.entries import Entry, Query, QueueId
from mta.queue.errors import as_queue_error
from mta.queue.ids import first_number, to_id
from mta.queue.sqlite.operator.entries import find
from mta.queue.sqlite.schema import connect_for_reading

# Seconds that a message may take to arrive, after it has got its id.
_LONGEST_ARRIVAL = 3600.0
# Messages that are in memory at a time.
_CHUNK = 500
_CHANGED = """
SELECT id FROM message WHERE finished >= :since
UNION SELECT id FROM message WHERE id >= :first AND created >= :since
UNION SELECT id FROM message AS m WHERE due IS NOT NULL AND (
    EXISTS (SELECT 1 FROM recipient WHERE message_id = m.id AND finished >= :since)
    OR EXISTS (SELECT 1 FROM attempt WHERE message_id = m.id AND time >= :since)
)
"""
# The relay's own messages have no client, and those of aliases a protocol of their own.
_SUBMITTED = """
SELECT id FROM message WHERE id >= :first AND created >= :since AND client <> '' AND protocol NOT LIKE 'alias%'
"""


@dataclass(frozen=True, slots=True)
class ChangedMessages:
    """The messages that changed, oldest first, and those among them that a client submitted since then."""

    entries: Iterator[Entry]
    submitted: frozenset[QueueId]


def changes_since(path: Path, since: float) -> ChangedMessages:
    """Return the messages in a queue file that were added or tried since a wall-clock time. Raises QueueError.

    Blocks: it is called at a start, before the queue changes. Messages that have left the history are missing.
    """
    values = {"since": since, "first": first_number(max(0.0, since - _LONGEST_ARRIVAL))}
    try:
        with closing(connect_for_reading(path)) as connection:
            submitted = frozenset(to_id(number) for (number,) in connection.execute(_SUBMITTED, values))
            ids = [to_id(number) for (number,) in connection.execute(_CHANGED, values)]
    except sqlite3.Error as error:
        raise as_queue_error(error) from error
    return ChangedMessages(_entries(path, ids), submitted)


def _entries(path: Path, ids: list[QueueId]) -> Iterator[Entry]:
    try:
        with closing(connect_for_reading(path)) as connection:
            for start in range(0, len(ids), _CHUNK):
                chunk = ids[start : start + _CHUNK]
                yield from find(connection, Query(chunk, finished=True, details=True))
    except sqlite3.Error as error:
        raise as_queue_error(error) from error
