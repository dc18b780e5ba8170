"""Work that is repeated while the relay runs."""

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger()


class PeriodicService(Service):
    """Calls `work` after `interval` seconds, and again so many seconds after each end of it.

    `work` may return a Deferred. If its result is a number, the next call comes after so many seconds. An exception is
    a bug in the relay: it is logged, and the calls go on.
    """

    def __init__(
        self, work: Callable[[], "Deferred[float | None] | None"], interval: float, clock: IReactorTime
    ) -> None:
        self._work = work
        self._interval = interval
        self._clock = clock
        self._timer: IDelayedCall | None = None

    def startService(self) -> None:
        """Schedule the first call."""
        super().startService()
        self._timer = self._clock.callLater(self._interval, self._run)

    def stopService(self) -> None:
        """Cancel the next call, without waiting for one that is running."""
        super().stopService()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        self._timer = None
        maybeDeferred(self._work).addErrback(_log_failure).addCallback(self._schedule_next)

    def _schedule_next(self, wait: float | None) -> None:
        if self.running:
            self._timer = self._clock.callLater(self._interval if wait is None else wait, self._run)


def _log_failure(failure: Failure) -> Any:
    _log.failure("periodic work failed", failure)
