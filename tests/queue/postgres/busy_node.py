"""A relay process reduced to its queue, under load: clients that add mail, deliveries that mark and settle it.

Its books say what the clients and the mail hosts know, and they are compared with the rows of the database.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from mta.queue.interface import Claim, NewMail, Queue, QueueError, QueueId, Settlement, Verdict
from tests.queue.messages import LEASE, TOOK

#: Seconds before a claim or a settlement that failed is tried again.
_PAUSE = 0.01


@dataclass
class NodeBooks:
    """The facts outside of the queue. Each of the numbers is of a queue id."""

    #: Answered 250, and answered 451 with its text.
    accepted: set[QueueId] = field(default_factory=set)
    refused: dict[QueueId, str] = field(default_factory=dict)
    #: Copies of which the last octet was sent, and those among them that were known as possible duplicates.
    sent: Counter[QueueId] = field(default_factory=Counter)
    doubtful: Counter[QueueId] = field(default_factory=Counter)
    #: Copies that were not sent, because the mark was refused.
    kept_back: Counter[QueueId] = field(default_factory=Counter)
    #: Settlements that were recorded, and those whose lease was lost.
    settled: Counter[QueueId] = field(default_factory=Counter)
    lost: Counter[QueueId] = field(default_factory=Counter)
    #: The errors that the node heard, by their texts.
    errors: Counter[str] = field(default_factory=Counter)


class BusyNode:
    """Works on a queue in the thread of a reactor, in which all of its methods must be called."""

    def __init__(self, queue: Queue, reactor: Any, new_mail: Callable[[], NewMail], now: Callable[[], float]) -> None:
        self.queue = queue
        self.books = NodeBooks()
        self._reactor = reactor
        self._new_mail = new_mail
        self._now = now
        self._stopping = False

    async def clients(self, number: int, messages: int = 1 << 30, *, leased: bool = True) -> None:
        """Have clients send messages, each one after the other; those that are `leased` are claimed and delivered."""
        left = iter(range(messages))
        await gatherResults([Deferred.fromCoroutine(self._client(left, leased)) for _ in range(number)])

    async def deliveries(self, until: Callable[[], bool]) -> None:
        """Claim and deliver what is due until a condition holds or the node stops."""
        while not self._stopping and not until():
            claims = await self._patiently(lambda: self.queue.claim(self._now(), 20, LEASE))
            await gatherResults([Deferred.fromCoroutine(self.deliver(claim)) for claim in claims])
            if not claims:
                await deferLater(self._reactor, _PAUSE)

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping = True

    async def _client(self, left: Any, leased: bool) -> None:
        for _ in left:
            if self._stopping:
                return
            mail = self._new_mail()
            try:
                claim = await self.queue.add(mail, self._now(), LEASE if leased else None)
            except QueueError as error:
                self.books.errors[str(error)] += 1
                self.books.refused[mail.id] = str(error)
                await deferLater(self._reactor, _PAUSE)
                continue
            self.books.accepted.add(mail.id)
            if claim is not None:
                await self.deliver(claim)

    async def deliver(self, claim: Claim) -> None:
        """Mark, send and settle a message; a mark that fails keeps the copy back."""
        indexes = [pending.index for pending in claim.pending]
        try:
            doubtful = await self.queue.note_in_flight(claim.id, indexes)
        except QueueError as error:
            self.books.errors[str(error)] += 1
            self.books.kept_back[claim.id] += 1
            await self._patiently(lambda: self.queue.release(claim, self._now()))
            return
        self.books.sent[claim.id] += 1
        self.books.doubtful[claim.id] += bool(doubtful)
        await self.settle(claim)

    async def settle(self, claim: Claim) -> None:
        """Record that all recipients were delivered."""
        settlement = Settlement(claim, [Verdict(pending.index, TOOK) for pending in claim.pending], self._now())
        recorded = await self._patiently(lambda: self.queue.settle(settlement))
        (self.books.settled if recorded else self.books.lost)[claim.id] += 1

    async def _patiently(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Ask the queue until it can answer."""
        while True:
            try:
                return await ask()
            except QueueError as error:
                self.books.errors[str(error)] += 1
                await deferLater(self._reactor, _PAUSE)
