"""The queue as a relay needs it, and the parts of the relay that come with its kind."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from twisted.application.service import IService
from twisted.internet.defer import Deferred

from mta.delivery.destinations.window import NewWindow
from mta.queue.ids import IdSource
from mta.queue.interface import Load, Queue, QueueId


class RelayQueue(Queue, Protocol):
    """A Queue with the questions and orders of the process that runs it."""

    def content(self, id: QueueId) -> "Deferred[bytes | None]":
        """Return the octets of a waiting message, or None if no message with this id is waiting."""

    def load(self, now: float) -> "Deferred[Load]":
        """Return the messages that are due now, and the octets of all that wait."""

    def make_all_due(self, now: float) -> "Deferred[None]":
        """Make all waiting messages due now that are not held, because the clock was set back. Never fails."""

    def when_short(self, call: Callable[[], object]) -> None:
        """Set the callable that `add` calls when it finds that room is short."""


#: Fails with QueueError.
HasTurn = Callable[[str, float], "Deferred[bool]"]


def _ignore(_: object) -> None:
    """Take no note, because a queue of the relay's own never calls."""


@dataclass(frozen=True, slots=True)
class OpenedQueue:
    """A queue that was opened for a relay."""

    queue: RelayQueue
    #: The source of the ids of new messages.
    ids: IdSource
    #: Run as long as the queue is open.
    services: Sequence[IService] = ()
    #: Tells the time by which mail is due, in seconds since 1970.
    wall_clock: Callable[[], float] = time.time
    #: Seconds for which a mark is a leave to send; None if it is one until the lease is over.
    marks_last: float | None = None
    #: Makes the windows of destinations if relays share their limits.
    windows: NewWindow | None = None
    #: Tells whether this relay is to do a task that one relay does for all, every so many seconds; None if it is alone.
    has_turn: HasTurn | None = None
    #: Sets the callable that has the delivery look for mail that another relay made due.
    when_due: Callable[[Callable[[], object]], object] = _ignore
    #: Sets the callable that is told when the queue takes no mail, and when it does again.
    when_away: Callable[[Callable[[bool], object]], object] = _ignore
    #: Sets the callable that has the delivery drop all claims, because other relays have them.
    when_fenced: Callable[[Callable[[], object]], object] = _ignore
