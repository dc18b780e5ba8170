"""Forgets the history that is older than an operator wants it."""

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mta.queue.interface import Queue

#: Seconds between two rounds, and messages dropped by one transaction of a round.
ROUND = 300.0
HANDFUL = 2000
#: Seconds between two handfuls of a round: 5,000 messages a second are more than ever come in.
AGAIN = 0.4


class HistoryKeeper:
    """Drops finished messages after `days`. `trouble` is told when the queue could not."""

    def __init__(
        self, queue: Queue, days: float, *, wall: Callable[[], float], trouble: Callable[[str], object]
    ) -> None:
        self._queue = queue
        self._seconds = days * 86400
        self._wall = wall
        self._trouble = trouble

    def forget(self) -> "Deferred[float | None]":
        """Drop a handful; the result is after how many seconds to come again if not at the usual time. Never fails."""
        forgetting = self._queue.forget(self._wall() - self._seconds, HANDFUL)
        return forgetting.addCallbacks(self._forgot, self._failed)

    def _forgot(self, count: int) -> float | None:
        # A full handful means that there may be more; the relay works in between.
        return AGAIN if count >= HANDFUL else None

    def _failed(self, failure: Failure) -> None:
        self._trouble(f"old history could not be dropped: {failure.getErrorMessage()}")
