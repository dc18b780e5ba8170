"""The time that operations may wait so that they share the commit of an urgent one.

An operation that no client waits for does not start a transaction of its own at once, because the next message of a
lone sender would then wait until the delivery of the one before is synced. One sync for both takes half the time.
"""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall

#: Operations in one transaction, which bounds how long the reactor thread is busy with one batch.
MAX_BATCH = 256
#: Seconds that an operation may wait for an urgent one: one that neither a client nor a delivery waits for, and one
#: that delays a delivery. The latter still shares the sync of a lone sender's next message.
BACKGROUND = 0.01
DELIVERY = 0.002


class CallLater(Protocol):
    """Calls a callable after a delay; a reactor's `callLater` is one."""

    def __call__(self, delay: float, call: Callable[[], None], /) -> IDelayedCall:
        """Call it in `delay` seconds."""


class CommitDelay:
    """The time that operations wait if none of them is urgent. At its end `flush` is called."""

    def __init__(self, call_later: CallLater, flush: Callable[[], None]) -> None:
        self._call_later = call_later
        self._flush = flush
        self._timer: IDelayedCall | None = None
        # The delay with which the timer was started.
        self._seconds = 0.0

    def begin(self, seconds: float) -> None:
        """Start the timer, or shorten it if it was started with a longer delay."""
        if self._timer is None or seconds < self._seconds:
            if self._timer is not None:
                self._timer.cancel()
            self._seconds = seconds
            self._timer = self._call_later(seconds, self._over)

    def end(self) -> None:
        """Flush now if the timer is running."""
        if self._timer is not None:
            self._timer.cancel()
            self._over()

    def _over(self) -> None:
        self._timer = None
        self._flush()
