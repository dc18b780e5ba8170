"""Group commit: while one transaction is being synced, the operations for the next one gather.

Statements run in the reactor thread, where they cost microseconds. Calls that wait for the disk or for another program
(COMMIT, a contended BEGIN, work marked heavy) run in a thread of their own. Only one of the two threads uses the
connection at a time.

Operations that are not urgent run ahead, while the connection is idle: their transaction stays open until the next
urgent operation joins it, for which BEGIN and their statements are then done (measured: 60 us of a lone client's 800).
"""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from mta.blocking import RunBlocking
from mta.coroutines import PromptDeferred
from mta.queue.errors import as_queue_error, primary_code
from mta.queue.interface import QueueError
from mta.queue.sql.commit_delay import DELIVERY, LULL, MAX_BATCH, CallLater, CommitDelay, TurnDelay
from mta.queue.sqlite.statements import SQL

T = TypeVar("T")


class CommitUnknown(QueueError):
    """A sync failed. The change must not be relied on, but the next start may find it in the file."""


class LedgerWriter(Protocol):
    """Counts the changes of a transaction and writes the counts as its last statement: `mta.queue.sqlite.ledger`."""

    def begin(self) -> None:
        """Start counting, because a transaction begins."""

    def write(self) -> None:
        """Write the counts of the transaction. Raises sqlite3.Error."""

    def roll_back(self) -> None:
        """Undo the changes since `begin`, because the transaction was rolled back."""


class NoLedger:
    """A LedgerWriter for a connection without a ledger."""

    def begin(self) -> None:
        """Do nothing."""

    def write(self) -> None:
        """Do nothing."""

    def roll_back(self) -> None:
        """Do nothing."""


#: Called before each step that a crash may interrupt, with the name of the step.
Step = Callable[[str], None]


def no_step(_name: str) -> None:
    """Do nothing before a step. Tests stop the program here."""


class _Operation(Generic[T]):
    __slots__ = ("alone", "done", "heavy", "ran", "result", "urgent", "work")

    def __init__(self, work: Callable[[], T], heavy: bool, urgent: bool) -> None:
        self.work = work
        self.heavy = heavy
        self.urgent = urgent
        self.alone = False
        # Whether the open transaction has its changes.
        self.ran = False
        self.done: Deferred[T] = PromptDeferred()
        self.result: T


_Batch = list[_Operation[Any]]


class _Transaction:
    """The transaction of a connection; it has one at a time. Raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection, step: Step, patience: float, ledger: LedgerWriter) -> None:
        self._connection = connection
        self._step = step
        self._patience = patience
        self._ledger = ledger
        #: Whether it has begun and has not ended.
        self.is_open = False
        self.committing = False
        # Whether a sync of the WAL failed. The system may then take its pages for clean though they are not on disk,
        # and the next sync succeeds without writing them.
        self._sync_failed = False

    def begin(self) -> bool:
        """Begin unless it is open; return False if another program has the lock or the WAL must be reset first."""
        if self.is_open:
            return True
        if self._sync_failed:
            return False
        try:
            self._connection.execute(SQL.begin)
        except sqlite3.Error as error:
            if primary_code(error) == sqlite3.SQLITE_BUSY:
                return False
            raise
        self._begun()
        return True

    def begin_patiently(self) -> None:
        """Reset the WAL if that is due, wait for the lock, and begin. Raises QueueError too."""
        self._connection.execute(f"PRAGMA busy_timeout = {int(self._patience * 1000)}")
        try:
            if self._sync_failed:
                self._reset_wal()
            self._connection.execute(SQL.begin)
        finally:
            self._connection.execute("PRAGMA busy_timeout = 0")
        self._begun()

    def _begun(self) -> None:
        self.is_open = True
        self._ledger.begin()

    def execute(self, batch: _Batch) -> None:
        """Do the work of all operations that never wait for the disk and did not run ahead."""
        light = True
        for operation in batch:
            if operation.heavy:
                light = False
            elif not operation.ran:
                operation.result = operation.work()
        # In the reactor thread if possible, because the other thread must first wait for the interpreter's lock.
        if light:
            self._ledger.write()

    def commit(self, batch: _Batch) -> None:
        """Do the heavy work, then commit, which syncs the WAL."""
        self.committing = False
        heavy = [operation for operation in batch if operation.heavy]
        for operation in heavy:
            operation.result = operation.work()
        if heavy:
            self._ledger.write()
        self._step("commit")
        self.committing = True
        # Not `execute`, which releases the interpreter's lock five times and waits for it each time. With `commit` the
        # threads switch once (measured: a third of the waits).
        try:
            self._connection.commit()
        except sqlite3.Error as error:
            self._sync_failed = self._sync_failed or primary_code(error) == sqlite3.SQLITE_IOERR
            raise
        self.is_open = False
        self._step("answer")

    def _reset_wal(self) -> None:
        """Checkpoint and truncate the WAL: the sync of the file is of octets just written, so it is reliable."""
        (busy, _, _) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise QueueError("a sync of the queue file failed, and another program prevents its log from being reset")
        self._sync_failed = False

    def roll_back(self) -> None:
        """Roll back the transaction, if there is one."""
        self.is_open = False
        self._ledger.roll_back()
        if self._connection.in_transaction:
            self._connection.execute(SQL.rollback)


class GroupCommit:
    """Runs operations in transactions on one connection; each Deferred fires when its transaction is synced.

    When an operation fails, its whole batch is rolled back. The operations of the batch are then repeated, each in a
    transaction of its own, so that only the faulty one fails.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        run: RunBlocking,
        step: Step = no_step,
        patience: float = 30.0,
        *,
        call_later: CallLater | None = None,
        ledger: LedgerWriter | None = None,
    ) -> None:
        """`connection` does not begin transactions itself (isolation_level None).

        `patience` is how many seconds to wait for another program's lock. Without `call_later` every operation is
        urgent.
        """
        self._transaction = _Transaction(connection, step, patience, ledger or NoLedger())
        self._run = run
        self._delay = None if call_later is None else CommitDelay(call_later, self._flush)
        self._turns = None if call_later is None else TurnDelay(call_later, self._count, self._proceed)
        self._waiting: _Batch = []
        # The number of waiting operations that ran ahead, or MAX_BATCH if one of them cannot.
        self._ahead = 0
        # Whether the waiting operations are to be started as soon as the connection is free.
        self._urgent = False
        # The number of batches since the last one with an urgent operation.
        self._lull = 0
        self._busy = False
        self._broken = False
        self._refusal: QueueError | None = None
        self._idle: list[Deferred[None]] = []

    def submit(
        self, work: Callable[[], T], heavy: bool = False, *, max_delay: float = 0.0, accepted: bool = False
    ) -> "Deferred[T]":
        """Run `work` in a transaction. Fires with its result when that is synced, or fails with a QueueError.

        `work` must be repeatable and change rows only. `heavy` work may wait for the disk, so it runs in the other
        thread. An operation with a `max_delay` in seconds (BACKGROUND or DELIVERY) is not urgent: it is committed with
        the next urgent one, or by itself after that time; one with DELIVERY at once while no client sends. An
        `accepted` operation belongs to a request that was made before `refuse_new`.
        """
        if self._refusal is not None and (self._broken or not accepted):
            return fail(self._refusal)
        operation = _Operation(work, heavy, not max_delay)
        self._waiting.append(operation)
        if self._delay is None or not self._waits(max_delay):
            self._flush()
        else:
            self._delay.begin(max_delay)
            if not self._busy:
                self._run_ahead()
        return operation.done

    @property
    def refusal(self) -> QueueError | None:
        """The error for new operations; None while they are accepted."""
        return self._refusal

    def refuse_new(self) -> None:
        """Refuse further operations with QueueError, except those submitted as `accepted`."""
        self._refusal = self._refusal or QueueError("the queue is closed")

    def close(self) -> "Deferred[None]":
        """Refuse new operations with QueueError; fire when all earlier ones are done."""
        self.refuse_new()
        if self._delay is not None:
            self._delay.end()
        if self._turns is not None:
            self._turns.end()
        if not self._busy:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._idle.append(waiter)
        return waiter

    def _waits(self, max_delay: float) -> bool:
        """Whether an operation waits for an urgent one; a delivery does not while no client sends."""
        return max_delay > (0 if self._lull < LULL else DELIVERY)

    def _flush(self) -> None:
        self._urgent = bool(self._waiting)
        if self._urgent and not self._busy and (self._turns is None or not self._turns.begin()):
            self._proceed()

    def _count(self) -> int:
        return len(self._waiting)

    def _proceed(self) -> None:
        """Start batches until one is being synced or no urgent operation is left."""
        self._busy = True
        while self._waiting and self._urgent:
            if self._start(self._take()):
                return
        self._busy = False
        if self._waiting:
            self._run_ahead()
        idle, self._idle = self._idle, []
        for waiter in idle:
            waiter.callback(None)

    def _run_ahead(self) -> None:
        """Do the work of waiting operations while the connection is idle, so that the next urgent one need not wait.

        An error rolls the transaction back. The operations are repeated when they are due, and the error is handled
        then.
        """
        try:
            while self._ahead < min(len(self._waiting), MAX_BATCH):
                operation = self._waiting[self._ahead]
                if operation.heavy or not self._transaction.begin():
                    return
                operation.result = operation.work()
                operation.ran = True
                self._ahead += 1
        except Exception:  # noqa: BLE001 (the caller of the operation gets every error)
            if self._transaction.is_open:
                self._roll_back(self._waiting)
            self._ahead = MAX_BATCH

    def _take(self) -> _Batch:
        size = 1 if self._waiting[0].alone else MAX_BATCH
        batch, self._waiting = self._waiting[:size], self._waiting[size:]
        self._ahead = 0
        self._urgent = bool(self._waiting)
        if self._turns is not None:
            urgent = sum(operation.urgent for operation in batch)
            self._turns.note(urgent)
            self._lull = 0 if urgent else self._lull + 1
        return batch

    def _start(self, batch: _Batch) -> bool:
        """Return whether the other thread works on the batch now."""
        try:
            if self._transaction.begin():
                return self._execute(batch)
        except sqlite3.Error as error:
            self._fail(batch, error)
            return False
        waited = self._run(self._transaction.begin_patiently)
        waited.addCallbacks(self._begun, self._not_begun, (batch,), {}, (batch,))
        return True

    def _begun(self, _: None, batch: _Batch) -> None:
        if not self._execute(batch):
            self._proceed()

    def _not_begun(self, failure: Failure, batch: _Batch) -> None:
        self._fail(batch, failure.value)
        self._proceed()

    def _execute(self, batch: _Batch) -> bool:
        try:
            self._transaction.execute(batch)
        except Exception as error:  # noqa: BLE001 (the caller of the operation gets every error)
            self._undo(batch, error)
            return False
        synced = self._run(partial(self._transaction.commit, batch))
        synced.addCallbacks(self._committed, self._not_committed, (batch,), {}, (batch,))
        return True

    def _committed(self, _: None, batch: _Batch) -> None:
        # If an urgent operation waits, its sync starts before the Deferreds fire, so that the disk works meanwhile.
        # Otherwise the Deferreds fire first, and operations that they lead to share the next sync. Urgent operations
        # come first, because clients wait for them (measured: a fifth less from sync to reply for a lone sender).
        overlap = self._urgent
        if overlap:
            self._proceed()
        for operation in batch:
            if operation.urgent:
                operation.done.callback(operation.result)
        for operation in batch:
            if not operation.urgent:
                operation.done.callback(operation.result)
        if not overlap:
            self._proceed()

    def _not_committed(self, failure: Failure, batch: _Batch) -> None:
        if self._transaction.committing and primary_code(failure.value) != sqlite3.SQLITE_FULL:
            # The transaction may be on disk or not, so it is neither reported as stored nor repeated.
            self._roll_back(batch)
            unknown = CommitUnknown(str(as_queue_error(failure.value)))
            unknown.__cause__ = failure.value
            self._fail(batch, unknown)
        else:
            self._undo(batch, failure.value)
        self._proceed()

    def _undo(self, batch: _Batch, error: BaseException | None) -> None:
        """Roll back a batch in which an operation failed, and repeat its operations, each in its own transaction."""
        self._roll_back(batch)
        if len(batch) == 1 or self._broken:
            self._fail(batch, error)
            return
        for operation in batch:
            operation.alone = True
        self._waiting[:0] = batch
        self._urgent = True

    def _roll_back(self, batch: _Batch) -> None:
        """Roll back the transaction of a batch."""
        for operation in batch:
            operation.ran = False
        try:
            self._transaction.roll_back()
        except sqlite3.Error as error:
            self._broken = True
            self._refusal = QueueError(f"the queue file cannot be used any more ({error}): restart the relay")
            waiting, self._waiting = self._waiting, []
            self._fail(waiting, self._refusal)

    def _fail(self, batch: _Batch, error: BaseException | None) -> None:
        queue_error = as_queue_error(error)
        for operation in batch:
            operation.done.errback(queue_error)
