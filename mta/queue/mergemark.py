"""The mark in a queue file that says how far the merge of another worker's queue into it has come."""

import enum
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from mta.queue.interface import QueueError
from mta.queue.schema import connect_untouched
from mta.queue.statements import SQL


class MergePhase(enum.Enum):
    """What may be missing still: MERGING, rows of the other queue; MERGED, only its removal."""

    MERGING = "merging"
    MERGED = "merged"


@dataclass(frozen=True, slots=True)
class MergeMark:
    """The worker whose queue becomes part of the file, and how far that has come."""

    worker: int
    phase: MergePhase


def read_merge_mark(connection: sqlite3.Connection) -> MergeMark | None:
    """Return the mark of an open queue file. Raises sqlite3.Error."""
    row = connection.execute(SQL.mark).fetchone()
    return None if row is None else MergeMark(row[1], MergePhase(row[0]))


def put_merge_mark(connection: sqlite3.Connection, mark: MergeMark | None, *, along: str | None = None) -> None:
    """Make this the only mark, durably, in one transaction with the statement `along`. Raises sqlite3.Error."""
    connection.execute(SQL.begin)
    if along is not None:
        connection.execute(along)
    connection.execute(SQL.clear_mark)
    if mark is not None:
        connection.execute(SQL.set_mark, (mark.phase.value, mark.worker))
    connection.execute(SQL.commit)


def may_be_marked(path: Path) -> bool:
    """Whether a queue file has a mark, without a touch; a file that cannot be read may have one."""
    if not path.exists():
        return False
    try:
        with closing(connect_untouched(path)) as connection:
            return read_merge_mark(connection) is not None
    except sqlite3.Error:
        return True


def refuse_marked(connection: sqlite3.Connection) -> None:
    """Refuse to work with a file that lacks mail. Raises QueueError, sqlite3.Error."""
    mark = read_merge_mark(connection)
    if mark is not None:
        raise QueueError(f"the queue of worker {mark.worker} is merged only in part: the relay must finish that first")
