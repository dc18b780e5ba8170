"""Merges the queues of workers that no longer run into the queue of QUEUE_DIR, at start before any worker runs.

A crash may interrupt each step: `queue_schema/README.md` has the table of states, and how the next start goes on.
"""

import sqlite3
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from pathlib import Path

from mta.queue.disk.files import BODIES
from mta.queue.disk.queue_dir import FILE_NAME, Lock, prepare, worker_home, worker_numbers
from mta.queue.disk.space import RESERVE, free_octets
from mta.queue.errors import as_queue_error
from mta.queue.ids import to_id
from mta.queue.interface import QueueError, QueueFull
from mta.queue.sqlite.group_commit import Step, no_step
from mta.queue.sqlite.recovery import MergeMark, MergePhase, may_be_marked, put_merge_mark, read_merge_mark
from mta.queue.sqlite.schema import CHECKPOINT_PAGES, PAGE_SIZE, open_file
from mta.queue.sqlite.statements import SQL
from mta.queue.worker_queues.copy import BATCH_OCTETS, copy_messages, move_files
from mta.queue.worker_queues.old_worker_queue import has_queue, has_relay_entries, remove

# Seconds to wait for an operator's command that changes the queue.
_PATIENCE = 30.0
# Pages that the WAL may have when a batch is committed.
_WAL_PAGES = CHECKPOINT_PAGES + BATCH_OCTETS // PAGE_SIZE


@dataclass(frozen=True, slots=True)
class Merged:
    """A worker whose queue was merged, and the numbers of messages that this start copied."""

    worker: int
    waiting: int
    #: Messages of the history.
    finished: int
    #: Whether an earlier start began the merge.
    resumed: bool = False

    def __str__(self) -> str:
        merged, more = ("finished merging", " more") if self.resumed else ("merged", "")
        return (
            f"{merged} the messages of worker {self.worker}, which no longer runs: "
            f"{self.waiting}{more} waiting, {self.finished}{more} in the history"
        )


def merge(directory: Path, workers: int, now: float, step: Step = no_step) -> list[Merged]:
    """Finish an interrupted merge, then merge the home of each worker with a number above `workers`.

    The caller holds the lock of the relay. Blocks until all changes are synced. Raises QueueError; one that refuses a
    home names it, that home is unchanged, and those with smaller numbers are merged.
    """
    try:
        prepare(directory)
        if not may_be_marked(directory / FILE_NAME) and not _surplus(directory, workers):
            return []
        with Lock(directory):
            return _merge(directory, workers, now, step)
    except (sqlite3.Error, OSError) as error:
        raise as_queue_error(error) from error


def _surplus(directory: Path, workers: int) -> list[int]:
    """Return the workers with a number above `workers` whose homes have entries of a relay."""
    return [
        number
        for number in worker_numbers(directory)
        if number > workers and has_relay_entries(worker_home(directory, number))
    ]


def _merge(directory: Path, workers: int, now: float, step: Step) -> list[Merged]:
    with closing(open_file(directory / FILE_NAME, create=True, upgrade=True)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {int(_PATIENCE * 1000)}")
        merged = []
        mark = read_merge_mark(connection)
        if mark is not None:
            interrupted = _Merge(directory, mark.worker, connection, now, step)
            with _lock(worker_home(directory, mark.worker)):
                merged.append(interrupted.finish(mark.phase))
        for number in _surplus(directory, workers):
            with Lock(worker_home(directory, number)):
                merged += _Merge(directory, number, connection, now, step).begin()
        return merged


def _lock(home: Path) -> AbstractContextManager[object]:
    """Lock a home if it still exists."""
    return Lock(home) if home.is_dir() else nullcontext()


class _Merge:
    """The merge of one home that the caller has locked. Raises QueueError, sqlite3.Error, OSError."""

    def __init__(self, directory: Path, worker: int, connection: sqlite3.Connection, now: float, step: Step) -> None:
        self._directory = directory
        self._worker = worker
        self._home = worker_home(directory, worker)
        self._connection = connection
        self._now = now
        self._step = step

    def begin(self) -> list[Merged]:
        """Merge a home that has no mark yet. The result is empty if the home has no queue."""
        if not has_queue(self._home):
            remove(self._home, self._step)
            return []
        self._attach()
        self._refuse_id_conflict()
        self._require_room()
        self._step("mark merging")
        put_merge_mark(self._connection, MergeMark(self._worker, MergePhase.MERGING))
        return [self._copy()]

    def finish(self, phase: MergePhase) -> Merged:
        """Go on with an interrupted merge from the phase of its mark."""
        if phase is MergePhase.MERGED:
            self._remove_home()
            return Merged(self._worker, 0, 0, resumed=True)
        if not has_queue(self._home):
            raise QueueError(f"{self._home} is merged only in part and its queue is gone: put it back")
        self._attach()
        return self._copy(resumed=True)

    def _attach(self) -> None:
        self._connection.execute(SQL.attach, (str(self._home / FILE_NAME),))

    def _value(self, sql: str) -> int:
        value: int = self._connection.execute(sql).fetchone()[0]
        return value

    def _refuse_id_conflict(self) -> None:
        """Raise QueueError if an id belongs to different messages in the two files, which workers never cause."""
        row = self._connection.execute(SQL.leftover_id_conflict).fetchone()
        if row is not None:
            raise QueueError(
                f"{self._home} cannot be merged: id {to_id(row[0])} is another message there than in"
                f" {self._directory}; start with WORKERS={self._worker}"
            )

    def _require_room(self) -> None:
        need, free = self._needed_octets(), free_octets(self._directory)
        if free < need:
            raise QueueFull(
                f"merging {self._home} takes {-(-need >> 20)} MiB, but only {free >> 20} MiB are free on the queue's "
                f"disk: free space under QUEUE_DIR, or start with WORKERS={self._worker}"
            )

    def _needed_octets(self) -> int:
        pages = self._value(SQL.leftover_pages) - self._value(SQL.leftover_free_pages)
        growth = max(pages - self._value(SQL.free_pages), 0)
        need = (growth + min(pages, _WAL_PAGES)) * PAGE_SIZE + RESERVE
        if (self._home / BODIES).stat().st_dev != (self._directory / BODIES).stat().st_dev:
            need += self._value(SQL.leftover_file_octets)
        return need

    def _copy(self, *, resumed: bool = False) -> Merged:
        move_files(self._connection, self._home / BODIES, self._directory / BODIES, self._step)
        waiting, finished = copy_messages(self._connection, self._now, self._step)
        self._step("mark merged")
        put_merge_mark(self._connection, MergeMark(self._worker, MergePhase.MERGED), along=SQL.copy_forgotten)
        self._connection.execute(SQL.detach)
        self._remove_home()
        return Merged(self._worker, waiting, finished, resumed)

    def _remove_home(self) -> None:
        remove(self._home, self._step)
        self._step("clear mark")
        put_merge_mark(self._connection, None)
