"""The queue as a relay needs it, and the parts of the relay that come with its kind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from twisted.application.service import IService
from twisted.internet.defer import Deferred

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


@dataclass(frozen=True, slots=True)
class OpenedQueue:
    """A queue that was opened for a relay."""

    queue: RelayQueue
    #: The source of the ids of new messages.
    ids: IdSource
    #: Run as long as the queue is open.
    services: Sequence[IService] = ()
