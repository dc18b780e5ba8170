"""The lanes of a node: operations gather into batches, and each batch is offered until its outcome is known.

Two lanes do better than one, because the second begins a batch while the first waits for a sync or a standby. After a
lost connection or a warning the same batch is offered again on a new connection, and nobody is answered before. After
PATIENCE the clients hear that their messages were not accepted, and these messages are taken out of the queue again.
"""

import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail

from mta.blocking import RunBlocking
from mta.queue.interface import LeaseLost, QueueError
from mta.queue.postgres.change import QueueChange
from mta.queue.postgres.errors import Conflict, DatabaseAway, Fenced, OutcomeUnknown, as_queue_error
from mta.queue.postgres.lanes.batch import BatchResult, MailBatch
from mta.queue.postgres.lanes.lane import Lane, Works
from mta.queue.postgres.lanes.operations import AddOperation, MarkOperation, Operation, WorkOperation
from mta.queue.sql.commit_delay import BACKGROUND, DELIVERY, MAX_BATCH, CallLater, CommitDelay

T = TypeVar("T")

#: Seconds after which a database that has not answered counts as silent.
SILENCE = 10.0
#: Seconds for which a client is kept waiting for a database that does not answer. It waits ten minutes by RFC 5321
#: section 4.5.3.2.6.
PATIENCE = 60.0
#: Seconds for which a relay that stops waits for the database.
STOP_PATIENCE = 5.0
#: Seconds between two offers of a batch, except for the first two.
PAUSE = 0.5
#: Operations with which a batch begins before another one is answered in full. Fewer would cost the server a commit of
#: their own (measured: every second batch had one message, and twenty messages in flight were a sixth slower).
ENOUGH = 32


class Lanes:
    """Runs operations in batches on some lanes of the same node."""

    def __init__(
        self,
        lanes: Sequence[Lane],
        run: RunBlocking,
        *,
        node: Callable[[], int],
        rejoin: Callable[[int], Awaitable[None]] | None = None,
        seconds: Callable[[], float],
        call_later: CallLater | None = None,
    ) -> None:
        """`node` returns the present node, and `rejoin` waits for the next one after one that was fenced off.

        `seconds` is a clock for deadlines. Without `call_later` an offer whose outcome is unknown fails at once, and
        without `rejoin` an offer in the name of a node that is fenced off.
        """
        self.lanes = lanes
        self._idle = list(reversed(lanes))
        self._run = run
        self._node = node
        self._rejoin = rejoin
        self._seconds = seconds
        self._call_later = call_later
        self._delay = None if call_later is None else CommitDelay(call_later, self._flush)
        self._waiting: list[Operation] = []
        self._urgent = False
        # The batches that are being answered. The operations to which the answers lead gather meanwhile.
        self._answering = 0
        # The operations of each lane that is busy, and the lanes whose last offer had no known outcome.
        self._offered: dict[Lane, list[Operation]] = {}
        self._offered_at: dict[Lane, float] = {}
        self._in_trouble: dict[Lane, QueueError] = {}
        #: The number of offers so far whose outcome was not known.
        self.unknown_outcomes = 0
        self._refusal: QueueError | None = None
        self._closing = False
        # When no offer is repeated any more.
        self._last_offer = math.inf
        self._closed: list[Deferred[None]] = []

    @property
    def trouble(self) -> QueueError | None:
        """The last error of a lane that waits for the database, or that it is silent; None if all is well."""
        if self._in_trouble:
            return next(iter(self._in_trouble.values()))
        if self._offered_at and (silent := self._seconds() - min(self._offered_at.values())) > SILENCE:
            return QueueError(f"the database has not answered for {silent:.0f} s")
        return None

    @property
    def unanswered_adds(self) -> list[int]:
        """The row numbers of messages whose add has no known outcome yet, or that are to be withdrawn."""
        offered = [each for operations in self._offered.values() for each in operations]
        adds = [each.number for each in offered if isinstance(each, AddOperation)]
        return [*adds, *(number for lane in self.lanes for number in lane.withdrawn)]

    @property
    def deadline(self) -> float:
        """The time after which a client is not kept waiting, for an operation that is made now."""
        return self._seconds() + PATIENCE

    def submit(self, operation: Operation) -> "Deferred[Any]":
        """Have an operation done with the next batch; return its Deferred."""
        if self._refusal is not None:
            return fail(self._refusal)
        self._waiting.append(operation)
        if operation.urgent or self._delay is None:
            self._flush()
        # It goes with earlier ones that are to go at once: after the answers of a batch, or by the next idle lane.
        elif not self._urgent or len(self._waiting) == 1:
            self._delay.begin(DELIVERY if isinstance(operation, MarkOperation) else BACKGROUND)
        return operation.done

    def work(self, work: Callable[[QueueChange], T], *, urgent: bool = True) -> "Deferred[T]":
        """Run work in a transaction; fires with its result when that is durable, or fails with a QueueError."""
        return self.submit(WorkOperation(work, urgent=urgent))

    def read(self, work: Callable[[QueueChange], T]) -> "Deferred[T]":
        """Run work that changes nothing, as `work` does but without a commit unless other operations come with it."""
        return self.submit(WorkOperation(work, urgent=True, reads=True))

    def unmark(self, number: int, indexes: Collection[int] | None = None) -> None:
        """Remove the marks of these recipients of a message, or all of it, with the next batch."""
        for lane in self.lanes:
            lane.marks.remove(number, indexes)

    def forget_marks(self) -> None:
        """Forget all marks, because the next batches are those of a new node."""
        for lane in self.lanes:
            lane.marks.clear()

    def give_up_late(self) -> None:
        """Fail the operations whose deadline is over. Call it every second."""
        self._give_up(self._seconds())

    def hurry(self) -> None:
        """Fail operations that the database does not answer within STOP_PATIENCE, because the relay stops."""
        self._last_offer = self._seconds() + STOP_PATIENCE
        self._cut_silent()

    def _cut_silent(self) -> None:
        """End connections on which no answer has come for STOP_PATIENCE, now and every second until all is closed."""
        silent = self._seconds() - STOP_PATIENCE
        for lane in [lane for lane, offered_at in self._offered_at.items() if offered_at <= silent]:
            lane.session.cut()
        if self._call_later is not None and (self._offered or not self._closing):
            self._call_later(1.0, self._cut_silent)

    def refuse_new(self) -> None:
        """Refuse further operations with QueueError."""
        self._refusal = self._refusal or QueueError("the queue is closed")

    def close(self) -> "Deferred[None]":
        """Finish earlier operations, or give up those that the database does not answer; close the connections."""
        self.refuse_new()
        self._closing = True
        if self._delay is not None:
            self._delay.end()
        if self._in_trouble:
            self._give_up(math.inf)
        if not self._offered:
            return self._close_all()
        done: Deferred[None] = Deferred()
        self._closed.append(done)
        return done.addCallback(lambda _: self._close_all())

    def _close_all(self) -> "Deferred[None]":
        for lane in self.lanes:
            lane.release()
        return self._run(self._close_lanes)

    def _close_lanes(self) -> None:
        for lane in self.lanes:
            lane.close()

    def _give_up(self, now: float) -> None:
        error = self.trouble or QueueError("the database does not answer")
        offered = [operation for operations in self._offered.values() for operation in operations]
        for operation in _late([*self._waiting, *offered], now):
            operation.done.errback(error)
        self._waiting = [operation for operation in self._waiting if not operation.done.called]

    def _flush(self) -> None:
        self._urgent = bool(self._waiting)
        if not self._answering or len(self._waiting) >= ENOUGH:
            self._proceed()

    def _proceed(self) -> None:
        while self._waiting and self._urgent and self._idle:
            lane = self._idle.pop()
            self._offered[lane] = self._take()
            self._offered_at[lane] = self._seconds()
            Deferred.fromCoroutine(self._carry_out(lane, self._offered[lane]))

    def _take(self) -> list[Operation]:
        size = 1 if self._waiting[0].alone else MAX_BATCH
        batch, self._waiting = self._waiting[:size], self._waiting[size:]
        self._urgent = bool(self._waiting)
        return batch

    async def _carry_out(self, lane: Lane, operations: list[Operation]) -> None:
        batch = MailBatch()
        for operation in operations:
            operation.join(batch)
            if isinstance(operation, MarkOperation):
                lane.marks.put(operation.number, operation.indexes)
        batch.sending = lane.marks.take_text()
        try:
            result = await self._offer_until_known(lane, batch, operations)
        except Exception as error:  # noqa: BLE001 (the caller of the operation gets every error)
            lane.marks.write_again()
            self._failed(operations, as_queue_error(error))
        else:
            await self._complete(lane, operations, result)
        finally:
            self._in_trouble.pop(lane, None)
            del self._offered[lane], self._offered_at[lane]
            self._idle.append(lane)
        self._proceed()
        if self._closing and not self._offered:
            waiting, self._closed = self._closed, []
            for done in waiting:
                done.callback(None)

    async def _offer_until_known(self, lane: Lane, batch: MailBatch, operations: Sequence[Operation]) -> BatchResult:
        works: Works = [operation for operation in operations if isinstance(operation, WorkOperation)]
        again = lost = False
        while True:
            node, withdrawn = self._node(), tuple(lane.withdrawn)
            offer = partial(lane.offer, node, batch, works, again=again, withdrawn=withdrawn)
            try:
                begun = None if works or again or withdrawn else lane.begin(node, batch)
                result = await self._offer(lane, offer, begun)
            except Fenced:
                if self._rejoin is None:
                    raise
                await self._rejoin(node)
                again = True
            except (OutcomeUnknown, DatabaseAway) as error:
                if isinstance(error, OutcomeUnknown):
                    again = True
                    self.unknown_outcomes += 1
                self._in_trouble[lane] = error
                if self._call_later is None or self._closing or self._seconds() >= self._last_offer:
                    raise
                # After a lost connection a new one can often be made at once.
                if lost or isinstance(error, DatabaseAway):
                    await self._pause(self._call_later)
                lost = True
            else:
                del lane.withdrawn[: len(withdrawn)]
                return result

    async def _offer(
        self, lane: Lane, offer: Callable[[], BatchResult], begun: "Deferred[BatchResult] | None"
    ) -> BatchResult:
        """Return the result of a batch that the reactor's thread has begun; else offer it where that may block."""
        if begun is not None:
            # After a conflict nothing was done.
            with suppress(Conflict):
                return await begun
        lane.release()
        return await self._run(offer)

    def _pause(self, call_later: CallLater) -> "Deferred[None]":
        over: Deferred[None] = Deferred()
        call_later(PAUSE, partial(over.callback, None))
        return over

    async def _complete(self, lane: Lane, operations: Iterable[Operation], result: BatchResult) -> None:
        """Answer the operations, those first for which a client waits; take out messages that clients heard refused."""
        self._answering += 1
        try:
            for urgent in (True, False):
                for operation in operations:
                    if operation.urgent is not urgent:
                        continue
                    if not operation.done.called:
                        operation.complete(result)
                    elif isinstance(operation, AddOperation) and operation.number in result.added | result.kept:
                        lane.withdrawn.append(operation.number)
        finally:
            self._answering -= 1
        if lane.withdrawn:
            # All of them are answered, and some of them may be settled in another way.
            self._offered[lane] = []
            # Operations that gathered meanwhile can go by another lane.
            self._proceed()
            with suppress(QueueError):
                await self._offer_until_known(lane, MailBatch(), ())

    def _failed(self, operations: list[Operation], error: QueueError) -> None:
        """Fail the only operation of a batch; repeat several, each in a transaction of its own."""
        waiting = [operation for operation in operations if not operation.done.called]
        if len(operations) == 1 or isinstance(error, (OutcomeUnknown, DatabaseAway, Fenced, LeaseLost)):
            for operation in waiting:
                operation.done.errback(error)
            return
        for operation in waiting:
            operation.alone = True
        self._waiting[:0] = waiting
        self._urgent = True


def _late(operations: Iterable[Operation], now: float) -> list[Operation]:
    """Return the operations that are waited for until now at most. All are late at the end of time."""
    return [
        operation
        for operation in operations
        if not operation.done.called
        and (now == math.inf or (operation.deadline is not None and operation.deadline <= now))
    ]
