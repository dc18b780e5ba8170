"""The operations that share a transaction, each with its part of the batch and its Deferred."""

from collections.abc import Callable, Collection
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred

from mta.queue.ids import to_number
from mta.queue.interface import Claim, LeaseLost, NewMail, Pending, QueueError, QueueId, Settlement
from mta.queue.postgres.change import QueueChange
from mta.queue.postgres.lanes.batch import BatchResult, MailBatch

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


class AddOperation:
    """Adds a message. The result is its claim if this node has one, otherwise None."""

    __slots__ = ("_mail", "_parts", "alone", "deadline", "done", "number")
    urgent = True

    def __init__(self, mail: NewMail, now: float, until: float | None, due: float, deadline: float) -> None:
        """As `MailBatch.add`; at the deadline the client is told that the message was not accepted."""
        self.alone = False
        self.deadline: float | None = deadline
        self.done: Deferred[Claim | None] = Deferred()
        self.number = to_number(mail.id)
        self._mail = mail
        self._parts = (now, until, due)

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
        envelope = self._mail.envelope
        pending = tuple(Pending(index, recipient) for index, recipient in enumerate(envelope.recipients))
        claim = Claim(self._mail.id, 1, envelope, self._mail.body, now, pending)
        self.done.callback(claim if mine and until is not None else None)


class EndOperation:
    """Finishes a message by a settlement of which `is_plain_end` is true.

    The result is False if the lease was lost, or a recipient was final before.
    """

    __slots__ = ("_settlement", "alone", "deadline", "done")
    urgent = False

    def __init__(self, settlement: Settlement) -> None:
        self.alone = False
        self.deadline: float | None = None
        self.done: Deferred[bool] = Deferred()
        self._settlement = settlement

    def join(self, batch: MailBatch, /) -> None:
        """Finish the message."""
        batch.end(self._settlement)

    def complete(self, result: BatchResult, /) -> None:
        """Fire."""
        self.done.callback(to_number(self._settlement.claim.id) in result.ended)


class MarkOperation:
    """Marks recipients of a claimed message, of which the lane keeps the text. Fails with LeaseLost."""

    __slots__ = ("_id", "_token", "alone", "deadline", "done", "indexes", "number")
    urgent = False

    def __init__(self, id: QueueId, token: int, indexes: Collection[int], deadline: float) -> None:
        """`token` is that of the claim."""
        self.alone = False
        self.deadline: float | None = deadline
        self.done: Deferred[None] = Deferred()
        self.number = to_number(id)
        self.indexes = indexes
        self._id = id
        self._token = token

    def join(self, batch: MailBatch, /) -> None:
        """Have the claim checked."""
        batch.mark(self.number, self._token)

    def complete(self, result: BatchResult, /) -> None:
        """Fire."""
        if (self.number, self._token) in result.marked:
            self.done.callback(None)
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
