"""Work that comes again and again while the relay runs."""

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger()


class PeriodicService(Service):
    """Calls `work`, first after `wait` seconds and then as long after each end of it.

    Work may return a Deferred. If its result is a number, the next round comes after so many seconds. Work that raises
    is our bug: it is logged, and the rounds go on.
    """

    def __init__(self, work: Callable[[], "Deferred[float | None] | None"], wait: float, clock: IReactorTime) -> None:
        self._work = work
        self._wait = wait
        self._clock = clock
        self._timer: IDelayedCall | None = None

    def startService(self) -> None:
        """Begin the rounds."""
        super().startService()
        self._timer = self._clock.callLater(self._wait, self._round)

    def stopService(self) -> None:
        """End the rounds; one that is under way is not waited for."""
        super().stopService()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _round(self) -> None:
        self._timer = None
        maybeDeferred(self._work).addErrback(_complain).addCallback(self._again)

    def _again(self, wait: float | None) -> None:
        if self.running:
            self._timer = self._clock.callLater(self._wait if wait is None else wait, self._round)


def _complain(failure: Failure) -> Any:
    _log.failure("a round of work failed", failure)
