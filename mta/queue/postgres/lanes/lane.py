"""A lane: one connection that changes mail, and the row by which it is fenced, counted and marked."""

from collections.abc import Collection, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet

from mta.queue.postgres.change import LaneCounts, LaneFence, QueueChange
from mta.queue.postgres.errors import Conflict, DatabaseAway, Fenced, LockTimeout
from mta.queue.postgres.lanes.answers import AnswerReader
from mta.queue.postgres.lanes.batch import NOTHING_DONE, BatchResult, MailBatch
from mta.queue.postgres.lanes.operations import WorkOperation
from mta.queue.postgres.lanes.statements import SQL
from mta.queue.postgres.session import DatabaseSession
from mta.queue.sql.marks import InFlightMarks

Works = Sequence[WorkOperation[Any]]

# A transaction that another one was in the way of is repeated so often.
_TRIES = 3
#: The node of the operators, whose lane has no session number because several programs use it at once.
OPERATORS = 0


class LaneMarks:
    """The marks of a lane. They are changed in the reactor's thread, and written with its next batch."""

    def __init__(self) -> None:
        self._marks = InFlightMarks()
        self._changed = False

    def put(self, number: int, indexes: Collection[int]) -> None:
        """Mark recipients of a message."""
        self._marks.put(number, indexes)
        self._changed = True

    def remove(self, number: int, indexes: Collection[int] | None = None) -> None:
        """Remove the marks of these recipients, or all of a message."""
        if indexes is None:
            self._changed |= self._marks.clear(number)
        elif self._marks.has(number):
            self._changed = True
            self._marks.remove(number, indexes)

    def clear(self) -> None:
        """Start without marks, because the lane's row is new."""
        self._marks = InFlightMarks()
        self._changed = False

    def take_text(self) -> str | None:
        """Return the text of all marks if it has changed since the last call."""
        if not self._changed:
            return None
        self._changed = False
        self._marks.begin()
        return self._marks.text

    def write_again(self) -> None:
        """Have the next batch write the text, because the last one failed."""
        self._changed = True


class Lane:
    """Carries out batches on one connection. `offer` and `close` block, and one thread may use it at a time."""

    def __init__(self, session: DatabaseSession, number: int, reactor: IReactorFDSet | None = None) -> None:
        """`number` is that of the lane in its node. Without a reactor `begin` begins nothing."""
        self.session = session
        self._answers = None if reactor is None else AnswerReader(session, reactor)
        self.marks = LaneMarks()
        #: Messages to take out of the queue again before the next batch.
        self.withdrawn: list[int] = []
        self._number = number
        # The fence of the present connection.
        self._fence: LaneFence | None = None

    def begin(self, node: int, batch: MailBatch) -> "Deferred[BatchResult] | None":
        """Carry out a batch that was not offered before in the reactor's thread, without blocking.

        The result is None if `offer` must do it, because there is no connection, for instance, or the process has no
        descriptor left. Fails with the errors that `offer` raises. Until `release` no thread may use the lane.
        """
        fence = self._fence
        if self._answers is None or fence is None or fence.node != node:
            return None
        statement, values = batch.statement(fence, again=False)
        if not self.session.is_ready(statement) or not self._answers.acquire():
            return None
        return self._answers.execute(statement, values).addCallback(batch.result, again=False)

    def release(self) -> None:
        """Have the reactor forget the connection, so that a thread may use the lane. Nothing may be under way."""
        if self._answers is not None:
            self._answers.release()

    def offer(
        self,
        node: int,
        batch: MailBatch,
        works: Sequence[WorkOperation[Any]],
        *,
        again: bool,
        withdrawn: Sequence[int] = (),
    ) -> BatchResult:
        """Carry out a batch and works in one transaction, in the name of a node; set the results of the works.

        Works that only read need none, and no commit, which would wait for the disk and for a standby.
        The outcome is unknown after OutcomeUnknown; then the same batch may be offered `again`. Raises Fenced too, and
        as `DatabaseSession.rows` does.
        """
        for _ in range(_TRIES - 1):
            try:
                return self._offer(node, batch, works, again, withdrawn)
            except Conflict:
                continue
        return self._offer(node, batch, works, again, withdrawn)

    def _offer(self, node: int, batch: MailBatch, works: Works, again: bool, withdrawn: Sequence[int]) -> BatchResult:
        fence = self._enter(node)
        if withdrawn:
            values = {"node": node, "lane": self._number, "session": fence.session, "ids": list(withdrawn)}
            if not self.session.rows(SQL.withdraw, values):
                raise Fenced("the other relays took this one for dead and have its mail")
        if not works and not again:
            return batch.execute(self.session, fence, again=False)
        if works and batch.is_empty and all(operation.reads for operation in works):
            for operation in works:
                operation.result = operation.work(QueueChange(self.session, node, again, fence=fence))
            return NOTHING_DONE
        with self.session.transaction():
            result = batch.execute(self.session, fence, again=again)
            change = QueueChange(self.session, node, again, fence=fence)
            for operation in works:
                operation.result = operation.work(change)
            self._count(change.counts)
        return result

    def _enter(self, node: int) -> LaneFence:
        """Return the fence of the connection. A new one waits for a transaction in the lane that still runs."""
        fence = self._fence
        if fence is not None and fence.node == node and self.session.connected:
            return fence
        session = 0
        if node != OPERATORS:
            try:
                rows = self.session.rows(SQL.enter, {"node": node, "lane": self._number})
            except LockTimeout as error:
                # The transaction of the lost connection waits, perhaps for a standby, and is to be waited for.
                raise DatabaseAway(str(error)) from error
            if not rows:
                raise Fenced("the other relays took this one for dead and have its mail")
            session = rows[0][0]
        self._fence = LaneFence(node, self._number, session)
        return self._fence

    def _count(self, counts: LaneCounts) -> None:
        if counts != LaneCounts():
            assert self._fence is not None
            values = {name: getattr(counts, name) for name in ("accepted", "delivered", "failed", "removed")}
            self.session.rows(SQL.count, values | {"node": self._fence.node, "lane": self._fence.lane})

    def close(self) -> None:
        """Close the connection."""
        self._fence = None
        self.session.close()
