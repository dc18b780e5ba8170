"""The queues of all workers combined, for the commands of an operator.

A merge copies the messages of a worker's home into QUEUE_DIR and then removes the home. QUEUE_DIR is therefore read
last, so that a message that is being moved is found at least once; if it is found twice, the later result counts.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import astuple
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred, gatherResults

from mta.blocking import RunBlocking
from mta.queue.disk.queue_dir import homes, is_without_queue
from mta.queue.errors import with_home
from mta.queue.interface import (
    Action,
    DomainShape,
    Entry,
    Ledger,
    MakeReports,
    Query,
    QueueError,
    QueueId,
    Status,
    Summary,
)
from mta.queue.search.conditions import Conditions
from mta.queue.sqlite.queue import open_queue

T = TypeVar("T")

#: Called with the home, the action and the ids, once the action on the messages of a home is synced.
Applied = Callable[[Path, Action, Sequence[QueueId]], object]

_by_id = attrgetter("id")


class OperatorQueue(Protocol):
    """The part of a queue that an operator's commands use; `mta.queue.interface.Queue` has the contract."""

    def find(self, query: Query) -> "Deferred[list[Entry]]":
        """Return messages in the order that the query asks for."""

    def count(self, conditions: Conditions, *, finished: bool = False) -> "Deferred[int]":
        """Return the number of messages that meet conditions."""

    def select(self, conditions: Conditions) -> "Deferred[list[QueueId]]":
        """Return the ids of the waiting messages that meet conditions, in the order of their arrival."""

    def content(self, id: QueueId) -> "Deferred[bytes | None]":
        """Return the octets of a waiting message, or None if no message with this id is waiting."""

    def domains(self, now: float) -> "Deferred[list[DomainShape]]":
        """Return the waiting recipients by domain, most first."""

    def summary(self) -> "Deferred[Summary]":
        """Return the counts of messages and recipients."""

    def apply(
        self, action: Action, ids: Sequence[QueueId] | None, now: float, *, recipient: str = "", to: str = ""
    ) -> "Deferred[list[QueueId]]":
        """Apply an action to messages, or to all, and return their ids."""

    def bounce(
        self, ids: Sequence[QueueId], now: float, text: str, make_reports: MakeReports, *, recipient: str = ""
    ) -> "Deferred[list[QueueId]]":
        """Return messages to their senders, and give their ids."""

    def close(self) -> "Deferred[None]":
        """Finish all earlier requests, then close."""


def open_queues(directory: Path, *, run: RunBlocking, now: float, applied: Applied) -> "CombinedQueue":
    """Open the queue of each home in QUEUE_DIR beside a relay that may be running. Raises QueueError.

    A home without a queue file is left out, because its worker has not started yet or its queue was just merged. If no
    home has a queue file, QueueError is raised. `now` is wall-clock seconds.
    """
    places = homes(directory) if directory.is_dir() else [directory]
    opened: list[tuple[Path, OperatorQueue]] = []
    for home in reversed(places):
        try:
            opened.append((home, open_queue(home, run=run, now=now, create=False, recover=False)))
        except QueueError as error:
            if is_without_queue(home) and (opened or home != directory):
                continue
            CombinedQueue(opened, applied).close()
            raise with_home(home, error, places) from error.__cause__
    return CombinedQueue(opened, applied)


class CombinedQueue:
    """An OperatorQueue over the queues of several homes, which are read in the order given. Errors name the home."""

    def __init__(self, queues: Sequence[tuple[Path, OperatorQueue]], applied: Applied) -> None:
        """If two queues have the same message, the result of the later one counts."""
        self._queues = queues
        self._applied = applied

    def find(self, query: Query) -> "Deferred[list[Entry]]":
        """Return the messages of all queues in the order that the query asks for, each once.

        At most twice `limit` messages are in memory.
        """
        return Deferred.fromCoroutine(self._find(query))

    async def _find(self, query: Query) -> list[Entry]:
        found: list[Entry] = []
        async for _, entries in self._answers(lambda queue: queue.find(query)):
            found = _merged(found, entries, query)
        return found

    def count(self, conditions: Conditions, *, finished: bool = False) -> "Deferred[int]":
        """Return the number of messages that meet conditions. Messages that are being merged may count twice."""
        return Deferred.fromCoroutine(self._count(conditions, finished=finished))

    async def _count(self, conditions: Conditions, *, finished: bool) -> int:
        answers = self._answers(lambda queue: queue.count(conditions, finished=finished))
        return sum([number async for _, number in answers])

    def select(self, conditions: Conditions) -> "Deferred[list[QueueId]]":
        """Return the ids of the waiting messages of all queues that meet conditions, each once."""
        return Deferred.fromCoroutine(self._select(conditions))

    async def _select(self, conditions: Conditions) -> list[QueueId]:
        found: set[QueueId] = set()
        async for _, ids in self._answers(lambda queue: queue.select(conditions)):
            found.update(ids)
        return sorted(found)

    def content(self, id: QueueId) -> "Deferred[bytes | None]":
        """Return the octets of a message that is waiting in one of the queues."""
        return Deferred.fromCoroutine(self._content(id))

    async def _content(self, id: QueueId) -> bytes | None:
        found = None
        async for _, octets in self._answers(lambda queue: queue.content(id)):
            found = octets if found is None else found
        return found

    def domains(self, now: float) -> "Deferred[list[DomainShape]]":
        """Return the waiting recipients of all queues by domain. Messages that are being merged may count twice."""
        return Deferred.fromCoroutine(self._domains(now))

    async def _domains(self, now: float) -> list[DomainShape]:
        by_domain: dict[str, DomainShape] = {}
        async for _, shapes in self._answers(lambda queue: queue.domains(now)):
            for shape in shapes:
                known = by_domain.get(shape.domain)
                by_domain[shape.domain] = shape if known is None else _joined(known, shape)
        return sorted(by_domain.values(), key=lambda shape: (-shape.waiting - shape.held, shape.domain))

    def summary(self) -> "Deferred[Summary]":
        """Return the counts of messages and recipients. Messages that are being merged may be counted twice."""
        return Deferred.fromCoroutine(self._summary())

    async def _summary(self) -> Summary:
        return _added_up([each async for _, each in self._answers(lambda queue: queue.summary())])

    def apply(
        self, action: Action, ids: Sequence[QueueId] | None, now: float, *, recipient: str = "", to: str = ""
    ) -> "Deferred[list[QueueId]]":
        """Apply an action in each queue that has the messages.

        If a queue fails, the actions that `applied` was called for remain.
        """
        change = self._change(action, lambda queue: queue.apply(action, ids, now, recipient=recipient, to=to))
        return Deferred.fromCoroutine(change)

    def bounce(
        self, ids: Sequence[QueueId], now: float, text: str, make_reports: MakeReports, *, recipient: str = ""
    ) -> "Deferred[list[QueueId]]":
        """Return messages to their senders, in each queue that has some; `applied` is called as by `apply`."""
        change = self._change(
            Action.BOUNCE, lambda queue: queue.bounce(ids, now, text, make_reports, recipient=recipient)
        )
        return Deferred.fromCoroutine(change)

    async def _change(
        self, action: Action, change: "Callable[[OperatorQueue], Deferred[list[QueueId]]]"
    ) -> list[QueueId]:
        all_ids: set[QueueId] = set()
        async for home, done in self._answers(change):
            if done:
                self._applied(home, action, done)
            all_ids.update(done)
        return sorted(all_ids)

    def close(self) -> "Deferred[None]":
        """Close all queues."""
        closed = gatherResults([queue.close() for _, queue in self._queues], consumeErrors=True)
        return closed.addCallback(lambda _: None)

    async def _answers(self, ask: "Callable[[OperatorQueue], Deferred[T]]") -> AsyncIterator[tuple[Path, T]]:
        """Yield the result of each queue, except one that was merged meanwhile. Raises QueueError."""
        for home, queue in self._queues:
            try:
                answer = await ask(queue)
            except QueueError as error:
                if is_without_queue(home) and len(self._queues) > 1:
                    continue
                raise with_home(home, error, [place for place, _ in self._queues]) from error.__cause__
            yield home, answer


def _merged(earlier: Iterable[Entry], later: Iterable[Entry], query: Query) -> list[Entry]:
    # The sort is stable, so that the entry of the later queue comes first in its group.
    both = sorted([*later, *earlier], key=_by_id, reverse=query.newest_first)
    return [next(same) for _, same in groupby(both, _by_id)][: query.limit]


def _joined(one: DomainShape, other: DomainShape) -> DomainShape:
    """Add up two parts of a domain; the reply is that of the part that has one."""
    said = other if other.reply else one
    return DomainShape(
        one.domain,
        one.waiting + other.waiting,
        one.held + other.held,
        one.in_delivery + other.in_delivery,
        min(one.oldest, other.oldest),
        tuple(map(sum, zip(one.ages, other.ages, strict=True))),
        said.reply,
        said.host,
    )


def _added_up(parts: Sequence[Summary]) -> Summary:
    return Summary(
        messages=sum(part.messages for part in parts),
        held=sum(part.held for part in parts),
        claimed=sum(part.claimed for part in parts),
        oldest=min((part.oldest for part in parts if part.oldest is not None), default=None),
        recipients={status: sum(part.recipients.get(status, 0) for part in parts) for status in Status},
        ledger=Ledger(*(sum(counts) for counts in zip(*(astuple(part.ledger) for part in parts), strict=True))),
        finished=sum(part.finished for part in parts),
        failed=sum(part.failed for part in parts),
        unreported=sum(part.unreported for part in parts),
    )
