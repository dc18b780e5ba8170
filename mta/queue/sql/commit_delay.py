"""The time that operations may wait so that they share a commit.

An operation that no client waits for does not start a transaction of its own at once, because the next message of a
lone sender would then wait until the delivery of the one before is synced. One sync for both takes half the time. While
no client sends, a delivery has nothing to wait for: a backlog then leaves twice as fast (measured).

An urgent operation waits only while others come together with it, and not for a time: a commit costs as much CPU time
as half a message.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall

#: Operations in one transaction, which bounds how long the reactor thread is busy with one batch.
MAX_BATCH = 256
#: Seconds that an operation may wait for an urgent one: one that neither a client nor a delivery waits for, and one
#: that delays a delivery. The latter still shares the sync of a lone sender's next message.
BACKGROUND = 0.01
DELIVERY = 0.002
#: Commits without an urgent operation after which no client sends.
LULL = 4
#: Turns of the reactor for which a commit waits at most while each of them brings operations. Under load four are
#: usual; the bound is for a flood.
MAX_TURNS = 8


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


class TurnDelay:
    """Lets operations that come together share a commit, by the turns of the reactor that bring them.

    Clients send together if the last commit had several urgent operations. The next commit then waits until a turn
    brings no more of them: a turn with the events of ten clients would otherwise commit the message of the first by
    itself. With a lone client a commit does not wait. Nor does it if the disk is slow, because operations gather
    during the commit before it.
    """

    def __init__(self, call_later: CallLater, waiting: Callable[[], int], start: Callable[[], None]) -> None:
        """`waiting` returns the number of operations for the next commit, which `start` begins."""
        self._call_later = call_later
        self._waiting = waiting
        self._start = start
        self._together = False
        self._timer: IDelayedCall | None = None

    def note(self, urgent: int) -> None:
        """Note how many operations of a commit are urgent. One without any says nothing about the clients."""
        if urgent:
            self._together = urgent > 1

    def begin(self) -> bool:
        """Return whether the commit waits; `start` is then called within MAX_TURNS turns."""
        if self._together and self._timer is None:
            self._wait(MAX_TURNS, 0)
        return self._timer is not None

    def end(self) -> None:
        """Start the commit now if it waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._over()

    def _wait(self, turns: int, before: int) -> None:
        # It is called in the next turn, after the events of the present one.
        self._timer = self._call_later(0, partial(self._turn, turns, before))

    def _turn(self, turns: int, before: int) -> None:
        waiting = self._waiting()
        if turns > 1 and max(before, 1) < waiting < MAX_BATCH:
            self._wait(turns - 1, waiting)
        else:
            self._over()

    def _over(self) -> None:
        self._timer = None
        self._start()
