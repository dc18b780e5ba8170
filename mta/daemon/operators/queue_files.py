"""The queue files of all workers, opened for each question, for an operator who asks their parent."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred

from mta.blocking import RunBlocking, result_of, run_inline
from mta.queue.interface import Action, DomainShape, Entry, MakeReports, Query, QueueId, Summary
from mta.queue.search.conditions import Conditions
from mta.queue.worker_queues.combined import CombinedQueue, open_queues

T = TypeVar("T")


class QueueFiles:
    """The queue files of all workers, opened in a thread for each question, as an OperatorQueue."""

    def __init__(self, directory: Path, run: RunBlocking, wall_clock: Callable[[], float]) -> None:
        self._directory = directory
        self._run = run
        self._wall_clock = wall_clock
        #: The homes of messages that were changed, by id, until they are taken out.
        self.homes: dict[QueueId, Path] = {}

    def find(self, query: Query) -> "Deferred[list[Entry]]":
        """Return messages in the order that the query asks for."""
        return self._ask(lambda queues: queues.find(query))

    def count(self, conditions: Conditions, *, finished: bool = False) -> "Deferred[int]":
        """Return the number of messages that meet conditions."""
        return self._ask(lambda queues: queues.count(conditions, finished=finished))

    def select(self, conditions: Conditions) -> "Deferred[list[QueueId]]":
        """Return the ids of the waiting messages that meet conditions."""
        return self._ask(lambda queues: queues.select(conditions))

    def domains(self, now: float) -> "Deferred[list[DomainShape]]":
        """Return the waiting recipients by domain."""
        return self._ask(lambda queues: queues.domains(now))

    def content(self, id: QueueId) -> "Deferred[bytes | None]":
        """Return the octets of a waiting message, or None."""
        return self._ask(lambda queues: queues.content(id))

    def summary(self) -> "Deferred[Summary]":
        """Return the counts of messages and recipients."""
        return self._ask(lambda queues: queues.summary())

    def apply(
        self, action: Action, ids: Sequence[QueueId] | None, now: float, *, recipient: str = "", to: str = ""
    ) -> "Deferred[list[QueueId]]":
        """Apply an action to messages, and return their ids."""
        return self._ask(lambda queues: queues.apply(action, ids, now, recipient=recipient, to=to))

    def bounce(
        self, ids: Sequence[QueueId], now: float, text: str, make_reports: MakeReports, *, recipient: str = ""
    ) -> "Deferred[list[QueueId]]":
        """Return messages to their senders, and give their ids."""
        return self._ask(lambda queues: queues.bounce(ids, now, text, make_reports, recipient=recipient))

    def _ask(self, ask: "Callable[[CombinedQueue], Deferred[T]]") -> "Deferred[T]":
        return self._run(lambda: self._asked(ask))

    def _asked(self, ask: "Callable[[CombinedQueue], Deferred[T]]") -> T:
        """Ask in a thread. Raises QueueError."""
        queues = open_queues(self._directory, run=run_inline, now=self._wall_clock(), applied=self._applied)
        try:
            return result_of(ask(queues))
        finally:
            queues.close()

    def _applied(self, home: Path, _action: Action, ids: Sequence[QueueId]) -> None:
        self.homes.update(dict.fromkeys(ids, home))
