"""The operations that share a transaction, each with its part of the batch and its Deferred."""

from collections.abc import Callable, Collection
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred, succeed

from mta.coroutines import PromptDeferred
from mta.queue.ids import to_number
from mta.queue.interface import Claim, LeaseLost, NewMail, QueueError, QueueId, Settlement
from mta.queue.postgres.change import QueueChange
from mta.queue.postgres.lanes.batch import BatchResult, MailBatch
from mta.queue.sql.values import pending_of

T = TypeVar("T")


class Operation(Protocol):
    """A part of a transaction. `done` fires when the transaction is durable, or fails with a QueueError."""

    #: Whether a client waits, so that the transaction is not delayed.
    urgent: bool
    #: Whether a transaction in which it took part failed, so that it gets one of its own.
    alone: bool
    #: When it is no longer waited for, by the clock of the lanes; None: never.
    deadline: float | None
    done: "Deferred[Any]"

    def join(self, batch: MailBatch, /) -> None:
        """Add its part to a batch."""

    def complete(self, result: BatchResult, /) -> None:
        """Fire `done` with its part of the result."""


_NONE: frozenset[int] = frozenset()


def _ignore(_: object) -> None:
    """Take no note of a result."""


def _lost(_: object) -> "Deferred[bool]":
    """Leave a settlement that was not recorded."""
    return succeed(False)  # noqa: FBT003  the result of a settlement


class AddOperation:
    """Adds a message. The result is its claim if this node has one, otherwise None."""

    __slots__ = ("_added", "_mail", "_parts", "alone", "deadline", "done", "number")
    urgent = True

    def __init__(
        self,
        mail: NewMail,
        now: float,
        until: float | None,
        due: float,
        deadline: float,
        *,
        added: Callable[[Claim | None], object] = _ignore,
    ) -> None:
        """As `MailBatch.add`; at the deadline the client is told that the message was not accepted.

        `added` is called with the result before `done` fires, and must not fail.
        """
        self.alone = False
        self.deadline: float | None = deadline
        self.done: Deferred[Claim | None] = PromptDeferred()
        self.number = to_number(mail.id)
        self._mail = mail
        self._parts = (now, until, due)
        self._added = added

    def join(self, batch: MailBatch, /) -> None:
        """Add the message."""
        batch.add(self._mail, *self._parts)

    def complete(self, result: BatchResult, /) -> None:
        """Fire with the claim. After a second offer, a message that is not this node's any more is a peer's."""
        mine = self.number in result.added or self.number in result.kept
        if not mine and not result.again:
            self.done.errback(QueueError(f"message {self._mail.id} is in the queue already"))
            return
        now, until, _ = self._parts
        claim = None
        if mine and until is not None:
            mail = self._mail
            claim = Claim(mail.id, 1, mail.envelope, mail.body, now, pending_of(mail.envelope))
        self._added(claim)
        self.done.callback(claim)


class EndOperation:
    """Finishes a message by a settlement of which `is_plain_end` is true.

    If the lease was lost, or a recipient was final before, the result is that of another way to settle it.
    """

    __slots__ = ("_ended", "_number", "_otherwise", "_settlement", "alone", "deadline", "done")
    urgent = False

    def __init__(
        self,
        settlement: Settlement,
        ended: Callable[[Settlement], object] = _ignore,
        otherwise: "Callable[[Settlement], Deferred[bool]]" = _lost,
    ) -> None:
        """`ended` is called with a settlement that was recorded before `done` fires, and must not fail.

        `otherwise` settles it if the batch did not.
        """
        self.alone = False
        self.deadline: float | None = None
        self.done: Deferred[bool] = PromptDeferred()
        self._number = to_number(settlement.claim.id)
        self._settlement = settlement
        self._ended = ended
        self._otherwise = otherwise

    def join(self, batch: MailBatch, /) -> None:
        """Finish the message."""
        batch.end(self._settlement)

    def complete(self, result: BatchResult, /) -> None:
        """Fire with True, or with the result of the other way once that is known."""
        if self._number in result.ended:
            self._ended(self._settlement)
            self.done.callback(True)  # noqa: FBT003  the result of a settlement
        else:
            self._otherwise(self._settlement).chainDeferred(self.done)


class MarkOperation:
    """Marks recipients of a claimed message, of which the lane keeps the text. Fails with LeaseLost.

    The result are the recipients that were marked before.
    """

    __slots__ = ("_before", "_id", "_token", "alone", "deadline", "done", "indexes", "number")
    urgent = False

    def __init__(
        self, id: QueueId, token: int, indexes: Collection[int], deadline: float, before: frozenset[int] = _NONE
    ) -> None:
        """`token` is that of the claim, and `before` the result."""
        self.alone = False
        self.deadline: float | None = deadline
        self.done: Deferred[frozenset[int]] = PromptDeferred()
        self.number = to_number(id)
        self.indexes = indexes
        self._id = id
        self._token = token
        self._before = before

    def join(self, batch: MailBatch, /) -> None:
        """Have the claim checked."""
        batch.mark(self.number, self._token)

    def complete(self, result: BatchResult, /) -> None:
        """Fire."""
        if (self.number, self._token) in result.marked:
            self.done.callback(self._before)
        else:
            self.done.errback(LeaseLost(f"another relay or an operator has message {self._id}, so it is not sent"))


class WorkOperation(Generic[T]):
    """Runs statements of its own after the batch. The work must be repeatable, and change rows only."""

    deadline: float | None = None

    def __init__(self, work: Callable[[QueueChange], T], *, urgent: bool, reads: bool = False) -> None:
        """`reads` tells that the work changes nothing, so that it needs no transaction."""
        self.alone = False
        self.urgent = urgent
        self.reads = reads
        self.done: Deferred[T] = Deferred()
        self.work = work
        #: Set by the lane.
        self.result: T

    def join(self, _: MailBatch, /) -> None:
        """Add nothing to the batch."""

    def complete(self, _: BatchResult, /) -> None:
        """Fire with the result of the work."""
        self.done.callback(self.result)
