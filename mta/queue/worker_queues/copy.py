"""Copies messages from the queue file attached as `leftover` into the main file, and moves their body files."""

import errno
import shutil
import sqlite3
from pathlib import Path

from mta.blocking import fsync_path
from mta.queue.disk.files import PART
from mta.queue.ids import to_id
from mta.queue.sqlite.group_commit import Step
from mta.queue.sqlite.rows import ids_json
from mta.queue.sqlite.statements import SQL

#: Upper bounds for one transaction (at least one message). They limit the WAL and the work repeated after a crash.
BATCH_MESSAGES = 4000
BATCH_OCTETS = 16 * 1024 * 1024


def move_files(connection: sqlite3.Connection, source: Path, target: Path, step: Step) -> None:
    """Move the body files of waiting messages durably; earlier moves are kept. Raises sqlite3.Error, OSError."""
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
        # An earlier start moved it, or it was missing before, which is reported when the queue is opened.
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_file(source, target)


def _copy_file(source: Path, target: Path) -> None:
    """Copy a file to another file system, under the name of an arriving body until it is complete."""
    part = target.with_name(target.name + PART)
    part.touch(0o600)
    shutil.copyfile(source, part)
    fsync_path(part)
    part.rename(target)


def copy_messages(connection: sqlite3.Connection, now: float, step: Step) -> tuple[int, int]:
    """Copy all messages that the main file does not have; return the numbers of waiting and of finished ones.

    A leased message is due at `now`. Raises sqlite3.Error.
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
    """Return the row numbers of the next messages after `last`, and whether each is waiting."""
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
    connection.execute(SQL.copy_attempts, (ids,))
    connection.execute(SQL.copy_counts, (ids,))
    step("copy bodies")
    connection.execute(SQL.copy_bodies, (ids,))
    step("commit")
    connection.execute(SQL.commit)
