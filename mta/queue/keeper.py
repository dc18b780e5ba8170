"""Forgets the history that is older than an operator wants it."""

from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from mta.queue.interface import Queue

#: Seconds between two rounds, and messages dropped by one transaction of a round.
ROUND = 300.0
HANDFUL = 2000


class HistoryKeeper(Service):
    """Drops finished messages after `days`. `trouble` is told when the queue could not."""

    def __init__(
        self,
        queue: Queue,
        days: float,
        *,
        clock: IReactorTime,
        wall: Callable[[], float],
        trouble: Callable[[str], None],
    ) -> None:
        self._queue = queue
        self._seconds = days * 86400
        self._clock = clock
        self._wall = wall
        self._trouble = trouble
        self._timer: IDelayedCall | None = None

    def startService(self) -> None:
        """Begin the rounds."""
        super().startService()
        self._timer = self._clock.callLater(ROUND, self._round)

    def stopService(self) -> None:
        """End the rounds."""
        super().stopService()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _round(self) -> None:
        self._timer = None
        self._queue.forget(self._wall() - self._seconds, HANDFUL).addCallbacks(self._forgot, self._failed)

    def _forgot(self, count: int) -> None:
        # A full handful means that there may be more; the relay works in between.
        self._again(1.0 if count >= HANDFUL else ROUND)

    def _failed(self, failure: Failure) -> None:
        self._trouble(f"old history could not be dropped: {failure.getErrorMessage()}")
        self._again(ROUND)

    def _again(self, wait: float) -> None:
        if self.running:
            self._timer = self._clock.callLater(wait, self._round)
