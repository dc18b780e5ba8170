"""Operators' questions and orders on the channel: the parent asks all workers, and tells each of orders on its mail.

Each line is below the channel's limit: long answers come in parts, and so do the failures of a returned message.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mta.admin.feed_channel import EventReceiver
from mta.admin.returning import Returned
from mta.admin.state import DestinationState, Order
from mta.admin.wire.relay import destination_object, order_object, read_order
from mta.message.outcome import Failed
from mta.queue.interface import QueueId
from mta.smtp.address import parse_address

Handlers = Mapping[str, Callable[..., object]]
#: Sends a worker, by its number, a verb with arguments.
SendTo = Callable[..., object]

ASK, PART, ANSWER = "operator-asks", "operator-part", "operator-answer"
ORDER, RETURNED = "operator-order", "operator-returned"
DESTINATIONS, WAITS_FOR = "destinations", "waits-for"
#: Seconds to wait for the answers; workers that take longer are left out.
PATIENCE = 4.0
#: Octets of the values in a line, and characters of the text of a failure.
MAX_OCTETS = 48 * 1024
MAX_TEXT = 2000


class _Question:
    """A question to several workers: the values so far, and the workers that have yet to answer."""

    def __init__(self, workers: Iterable[int], answered: "Deferred[list[Any]]") -> None:
        self.missing = set(workers)
        self.values: list[Any] = []
        self.answered = answered


class WorkersOperator:
    """The end of the parent."""

    def __init__(self, clock: IReactorTime, send: SendTo, events: EventReceiver) -> None:
        self._clock = clock
        self._send = send
        self._events = events
        self._listening: set[int] = set()
        self._questions: dict[int, _Question] = {}
        self._number = 0

    def handlers(self, worker: int) -> dict[str, Callable[..., object]]:
        """Return the handlers of the verbs of a worker."""
        own: dict[str, Callable[..., object]] = {
            PART: partial(self._take, worker, last=False),
            ANSWER: partial(self._take, worker, last=True),
        }
        return own | self._events.handlers(worker)

    def started(self, worker: int) -> None:
        """Take note of a worker that listens now."""
        self._listening.add(worker)
        self._events.started(worker)

    def ended(self, worker: int) -> None:
        """Take note of a worker that has ended: its answers will not come."""
        self._listening.discard(worker)
        self._events.ended(worker)
        for number in list(self._questions):
            self._leave(number, worker)

    def listens(self, worker: int) -> bool:
        """Return whether a worker listens, so that it takes orders."""
        return worker in self._listening

    async def ask(self, question: str, *arguments: object) -> list[Any]:
        """Return the values of all workers that answer in time."""
        if not self._listening:
            return []
        self._number += 1
        number = self._number
        answered: Deferred[list[Any]] = Deferred()
        self._questions[number] = asked = _Question(self._listening, answered)
        late = self._clock.callLater(PATIENCE, self._end, number)
        for worker in sorted(self._listening):
            self._send(worker, ASK, number, question, *arguments)
        await answered
        if late.active():
            late.cancel()
        return asked.values

    def order(self, worker: int, order: Order, ids: Sequence[QueueId], returned: Iterable[Returned]) -> None:
        """Tell a worker of an order that was applied to messages of its queue."""
        self._send(worker, ORDER, {**order_object(order), "ids": list(ids)})
        for each in returned:
            for words in _returned_words(each):
                self._send(worker, RETURNED, *words)

    def _take(self, worker: int, number: int, values: list[Any], *, last: bool) -> None:
        question = self._questions.get(number)
        if question is not None and worker in question.missing:
            question.values += values
            if last:
                self._leave(number, worker)

    def _leave(self, number: int, worker: int) -> None:
        question = self._questions[number]
        question.missing.discard(worker)
        if not question.missing:
            self._end(number)

    def _end(self, number: int) -> None:
        question = self._questions.pop(number)
        question.answered.callback(question.values)


class AskedWorker(Protocol):
    """A relay that answers its parent."""

    async def destinations(self) -> list[DestinationState]:
        """Return the destinations that the delivery knows."""

    async def waits_for(self, id: QueueId) -> str:
        """Return the reason for which a message waits."""

    def note(self, order: Order, ids: list[QueueId], returned: Sequence[Returned] = ()) -> None:
        """Log an order that was applied to messages, and the messages that it returned, and act on it."""

    def note_returned(self, returned: Returned) -> None:
        """Log a message that was returned."""


class WorkerOperator:
    """The end of a worker."""

    def __init__(self, relay: AskedWorker, send: Callable[..., object]) -> None:
        self._relay = relay
        self._send = send

    def handlers(self) -> Handlers:
        """Return the handlers of the parent's verbs."""
        return {ASK: self._ask, ORDER: self._order, RETURNED: self._returned}

    def _ask(self, number: int, question: str, *arguments: Any) -> "Deferred[None]":
        return Deferred.fromCoroutine(self._answer(number, question, *arguments))

    async def _answer(self, number: int, question: str, *arguments: Any) -> None:
        if question == DESTINATIONS:
            values: list[Any] = [destination_object(each) for each in await self._relay.destinations()]
        else:
            values = [await self._relay.waits_for(QueueId(*arguments))]
        *parts, last = in_parts(values)
        for part in parts:
            self._send(PART, number, part)
        self._send(ANSWER, number, last)

    def _order(self, words: Any) -> None:
        order = read_order(words)
        self._relay.note(order, list(order.ids or ()))

    def _returned(self, words: Any, sender: str | None, failures: list[list[str]], report: str | None) -> None:
        returned = Returned(
            QueueId(words),
            None if sender is None else parse_address(sender),
            tuple((parse_address(to), Failed(text, host, status)) for to, text, host, status in failures),
            None if report is None else QueueId(report),
        )
        self._relay.note_returned(returned)


def in_parts(values: Sequence[Any]) -> list[list[Any]]:
    """Return values in lists of bounded octets, one list at least. A value beyond the bound is left out."""
    parts: list[list[Any]] = [[]]
    octets = 0
    for value in values:
        size = len(json.dumps(value))
        if size > MAX_OCTETS:
            continue
        if octets + size > MAX_OCTETS:
            parts.append([])
            octets = 0
        parts[-1].append(value)
        octets += size
    return parts


def _returned_words(returned: Returned) -> Iterator[tuple[object, ...]]:
    """Yield the arguments of the lines about a returned message; the last one has the report."""
    sender = None if returned.sender is None else str(returned.sender)
    failures = [(str(to), outcome.text[:MAX_TEXT], outcome.host, outcome.status) for to, outcome in returned.failures]
    *parts, last = in_parts(failures)
    for part in parts:
        yield returned.id, sender, part, None
    yield returned.id, sender, last, returned.report
