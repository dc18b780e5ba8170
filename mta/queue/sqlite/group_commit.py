"""Group commit: while one transaction is being synced, the next gathers by itself.

Statements run in the reactor thread, where they cost microseconds; what waits for the disk or another program (COMMIT,
a contended BEGIN, work marked heavy) runs in a worker. One of the two touches the connection at a time.

What no client waits for begins no transaction of its own for a moment: a lone sender's next message would wait for the
disk to note the delivery of the one before, and a disk that syncs once for both is done with them in half the time.
"""

import sqlite3
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from mta.queue.errors import as_queue_error, primary_code
from mta.queue.interface import QueueError
from mta.queue.sqlite.statements import SQL

T = TypeVar("T")

#: Operations in one transaction: bounds how long the reactor thread is busy with one batch.
MAX_BATCH = 256
#: Seconds for which an operation that is not urgent may wait for one that is: what nobody waits for, and what holds up
#: a delivery, which for a lone sender still shares the sync of the message that comes next.
BACKGROUND = 0.01
DELIVERY = 0.002


class CommitUnknown(QueueError):
    """A sync failed: nobody may rely on the change, yet the next start may find it done."""


class Run(Protocol):
    """Runs a callable where blocking is allowed; the Deferred fires in the reactor thread."""

    def __call__(self, work: Callable[[], T], /) -> "Deferred[T]":
        """Run `work` once; its exception becomes the Failure."""


class CallLater(Protocol):
    """Calls something after a while; a reactor's `callLater` is one."""

    def __call__(self, delay: float, call: Callable[[], None], /) -> IDelayedCall:
        """Call it in that many seconds."""


class LedgerWriter(Protocol):
    """Counts the changes of a transaction and writes the counts as its last statement; see mta.queue.sqlite.ledger."""

    def begin(self) -> None:
        """A transaction begins."""

    def write(self) -> None:
        """Write what it changed. Raises sqlite3.Error."""

    def roll_back(self) -> None:
        """The transaction was taken back."""


class NoLedger:
    """A LedgerWriter that writes nothing."""

    def begin(self) -> None:
        """Count nothing."""

    def write(self) -> None:
        """Write nothing."""

    def roll_back(self) -> None:
        """Forget nothing."""


Step = Callable[[str], None]


def no_step(_name: str) -> None:
    """Do nothing before a step; tests put a stop here."""


class _Operation(Generic[T]):
    __slots__ = ("alone", "done", "heavy", "result", "urgent", "work")

    def __init__(self, work: Callable[[], T], heavy: bool, urgent: bool) -> None:
        self.work = work
        self.heavy = heavy
        self.urgent = urgent
        self.alone = False
        self.done: Deferred[T] = Deferred()
        self.result: T


_Batch = list[_Operation[Any]]


class _Transaction:
    """The one transaction of a connection, and where it stands. Raises sqlite3.Error."""

    def __init__(self, connection: sqlite3.Connection, step: Step, patience: float, ledger: LedgerWriter) -> None:
        self._connection = connection
        self._step = step
        self._patience = patience
        self._ledger = ledger
        self.committing = False
        # Whether a sync of the log failed: what it held may then pass for written though the disk has not got it, and
        # the next sync, which succeeds, says nothing about it.
        self._doubtful = False

    def begin(self) -> bool:
        """Begin, or return False when that takes waiting: for another program, or for the log to be renewed."""
        if self._doubtful:
            return False
        try:
            self._connection.execute(SQL.begin)
        except sqlite3.Error as error:
            if primary_code(error) == sqlite3.SQLITE_BUSY:
                return False
            raise
        self._ledger.begin()
        return True

    def begin_patiently(self) -> None:
        """Begin, waiting for what has to be waited for. Raises QueueError too."""
        self._connection.execute(f"PRAGMA busy_timeout = {int(self._patience * 1000)}")
        try:
            if self._doubtful:
                self._renew_log()
            self._connection.execute(SQL.begin)
        finally:
            self._connection.execute("PRAGMA busy_timeout = 0")
        self._ledger.begin()

    def execute(self, batch: _Batch) -> None:
        """Do the work that never waits for the disk."""
        light = True
        for operation in batch:
            if operation.heavy:
                light = False
            else:
                operation.result = operation.work()
        # Here if it can be: a statement costs the worker more, which must wait for the interpreter.
        if light:
            self._ledger.write()

    def conclude(self, batch: _Batch) -> None:
        """Do the heavy work, then sync."""
        self.committing = False
        heavy = [operation for operation in batch if operation.heavy]
        for operation in heavy:
            operation.result = operation.work()
        if heavy:
            self._ledger.write()
        self._step("commit")
        self.committing = True
        # Not `execute`, which lets go of the interpreter five times, each time to wait for it again: with `commit` the
        # threads change hands once (a third of the waits for it, measured).
        try:
            self._connection.commit()
        except sqlite3.Error as error:
            self._doubtful = self._doubtful or primary_code(error) == sqlite3.SQLITE_IOERR
            raise
        self._step("answer")

    def _renew_log(self) -> None:
        """Move what was synced to the file, whose sync is of octets just written, and begin the log anew."""
        (busy, _, _) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise QueueError("a sync of the queue file failed, and another program keeps its log from being renewed")
        self._doubtful = False

    def roll_back(self) -> None:
        """Take everything back, if there is anything."""
        self._ledger.roll_back()
        if self._connection.in_transaction:
            self._connection.execute(SQL.rollback)


class _CommitDelay:
    """The while for which operations that are not urgent wait; at its end they are hurried."""

    def __init__(self, call_later: CallLater, flush: Callable[[], None]) -> None:
        self._call_later = call_later
        self._flush = flush
        self._timer: IDelayedCall | None = None
        # How long it was when it began.
        self._seconds = 0.0

    def begin(self, seconds: float) -> None:
        """Begin, unless it has begun and ends as soon."""
        if self._timer is None or seconds < self._seconds:
            if self._timer is not None:
                self._timer.cancel()
            self._seconds = seconds
            self._timer = self._call_later(seconds, self._over)

    def end(self) -> None:
        """End now, if it has begun."""
        if self._timer is not None:
            self._timer.cancel()
            self._over()

    def _over(self) -> None:
        self._timer = None
        self._flush()


class GroupCommit:
    """Puts operations into transactions on one connection and answers each when its transaction is synced.

    An operation that fails is rolled back with its whole batch; the batch is then done again one operation a
    transaction, so that it fails alone.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        run: Run,
        step: Step = no_step,
        patience: float = 30.0,
        *,
        call_later: CallLater | None = None,
        ledger: LedgerWriter | None = None,
    ) -> None:
        """`connection` begins no transaction itself (isolation_level None); `patience` bounds a wait in seconds.

        Without `call_later` every operation is urgent.
        """
        self._transaction = _Transaction(connection, step, patience, ledger or NoLedger())
        self._run = run
        self._delay = None if call_later is None else _CommitDelay(call_later, self._flush)
        self._waiting: _Batch = []
        # Whether what waits is to go as soon as it can.
        self._urgent = False
        self._busy = False
        self._broken = False
        self._refusal: QueueError | None = None
        self._idle: list[Deferred[None]] = []

    def submit(
        self, work: Callable[[], T], heavy: bool = False, *, max_delay: float = 0.0, accepted: bool = False
    ) -> "Deferred[T]":
        """Run `work` in a transaction; fires with its result when that is on disk, or fails with a QueueError.

        `work` must be repeatable and leave nothing but rows. `heavy` work may wait for the disk: it runs in the worker.
        An operation with a `max_delay` in seconds (BACKGROUND or DELIVERY) is not urgent: it is committed with the next
        urgent one, or by itself after that time. `accepted` operations belong to a verb that was called before
        `refuse_new`.
        """
        if self._refusal is not None and (self._broken or not accepted):
            return fail(self._refusal)
        operation = _Operation(work, heavy, not max_delay)
        self._waiting.append(operation)
        if not max_delay or self._delay is None:
            self._flush()
        else:
            self._delay.begin(max_delay)
        return operation.done

    @property
    def refusal(self) -> QueueError | None:
        """The error for new operations; None while they are accepted."""
        return self._refusal

    def refuse_new(self) -> None:
        """Refuse further operations with QueueError, except those submitted as `accepted`."""
        self._refusal = self._refusal or QueueError("the queue is closed")

    def close(self) -> "Deferred[None]":
        """Refuse new operations with QueueError; fire when all earlier ones are answered."""
        self.refuse_new()
        if self._delay is not None:
            self._delay.end()
        if not self._busy:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._idle.append(waiter)
        return waiter

    def _flush(self) -> None:
        self._urgent = bool(self._waiting)
        if self._urgent and not self._busy:
            self._proceed()

    def _proceed(self) -> None:
        """Start batches until one is in the worker's hands or none is left that is urgent."""
        self._busy = True
        while self._waiting and self._urgent:
            if self._start(self._take()):
                return
        self._busy = False
        idle, self._idle = self._idle, []
        for waiter in idle:
            waiter.callback(None)

    def _take(self) -> _Batch:
        size = 1 if self._waiting[0].alone else MAX_BATCH
        batch, self._waiting = self._waiting[:size], self._waiting[size:]
        self._urgent = bool(self._waiting)
        return batch

    def _start(self, batch: _Batch) -> bool:
        """Return whether the worker has the batch now."""
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
        except Exception as error:  # noqa: BLE001 (whatever one operation raises is answered to its caller)
            self._undo(batch, error)
            return False
        synced = self._run(partial(self._transaction.conclude, batch))
        synced.addCallbacks(self._committed, self._not_committed, (batch,), {}, (batch,))
        return True

    def _committed(self, _: None, batch: _Batch) -> None:
        # If something urgent waits, its sync starts before the answers are given, so that the disk works while we talk.
        # Otherwise the answers come first, and what they bring shares the next sync. Those that a client waits for come
        # before the others: their way to it is a fifth shorter for a lone sender (measured).
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
            # Whether the disk has it is unknown. Nobody is told it is stored, and nobody tries again by itself.
            self._roll_back()
            unknown = CommitUnknown(str(as_queue_error(failure.value)))
            unknown.__cause__ = failure.value
            self._fail(batch, unknown)
        else:
            self._undo(batch, failure.value)
        self._proceed()

    def _undo(self, batch: _Batch, error: BaseException | None) -> None:
        """Take a batch back after one of its operations failed; do the others again, each alone."""
        self._roll_back()
        if len(batch) == 1 or self._broken:
            self._fail(batch, error)
            return
        for operation in batch:
            operation.alone = True
        self._waiting[:0] = batch
        self._urgent = True

    def _roll_back(self) -> None:
        try:
            self._transaction.roll_back()
        except sqlite3.Error as error:
            self._broken = True
            self._refusal = QueueError(f"the queue file cannot be used any more ({error}): restart the relay")
            left, self._waiting = self._waiting, []
            self._fail(left, self._refusal)

    def _fail(self, batch: _Batch, error: BaseException | None) -> None:
        told = as_queue_error(error)
        for operation in batch:
            operation.done.errback(told)
