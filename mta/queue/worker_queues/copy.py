"""Brings what the queue file attached as `leftover` holds into the file it is attached to."""

import errno
import shutil
import sqlite3
from pathlib import Path

from mta.queue.disk.files import PART, fsync_path
from mta.queue.ids import to_id
from mta.queue.sqlite.group_commit import Step
from mta.queue.sqlite.rows import ids_json
from mta.queue.sqlite.statements import SQL

#: What one transaction copies at most, and at least one message: it bounds the log, and what a cut does again.
BATCH_MESSAGES = 4000
BATCH_OCTETS = 16 * 1024 * 1024


def move_files(connection: sqlite3.Connection, source: Path, target: Path, step: Step) -> None:
    """Move the body files of waiting messages, durably; what was moved before stays. Raises sqlite3.Error, OSError."""
    for (number,) in connection.execute(SQL.leftover_files):
        step("move file")
        _move(source / to_id(number), target / to_id(number))
    step("sync directories")
    fsync_path(target)
    fsync_path(source)


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except FileNotFoundError:
        # Moved by the start before, or missing for long: then the queue tells of it when it is opened.
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_file(source, target)


def _copy_file(source: Path, target: Path) -> None:
    """Copy to another file system, under the name of a body that arrives until it is whole."""
    part = target.with_name(target.name + PART)
    part.touch(0o600)
    shutil.copyfile(source, part)
    fsync_path(part)
    part.rename(target)


def copy_messages(connection: sqlite3.Connection, now: float, step: Step) -> tuple[int, int]:
    """Copy all messages that are not there yet; return how many of them wait and how many are history.

    What is leased comes due at `now`. Raises sqlite3.Error.
    """
    waiting = finished = last = 0
    while batch := _batch(connection, last):
        _copy(connection, [number for number, _ in batch], now, step)
        last = batch[-1][0]
        unfinished = sum(waits for _, waits in batch)
        waiting += unfinished
        finished += len(batch) - unfinished
    return waiting, finished


def _batch(connection: sqlite3.Connection, last: int) -> list[tuple[int, int]]:
    """Return the next messages after `last` and whether they wait."""
    batch: list[tuple[int, int]] = []
    octets = 0
    for number, waits, weight in connection.execute(SQL.leftover_messages, (last, BATCH_MESSAGES)):
        batch.append((number, waits))
        octets += weight
        if octets >= BATCH_OCTETS:
            break
    return batch


def _copy(connection: sqlite3.Connection, numbers: list[int], now: float, step: Step) -> None:
    ids = ids_json(numbers)
    connection.execute(SQL.begin)
    step("copy messages")
    connection.execute(SQL.copy_messages, (now, ids))
    step("copy recipients")
    connection.execute(SQL.copy_recipients, (ids,))
    connection.execute(SQL.copy_counts, (ids,))
    step("copy bodies")
    connection.execute(SQL.copy_bodies, (ids,))
    step("commit")
    connection.execute(SQL.commit)
