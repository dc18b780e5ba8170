"""Notes on disk which recipients a message is about to be sent to.

After a crash the notes tell which recipients may get a second copy. They stay until the recipients are settled.
"""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mta.delivery.remote.interface import DeliveryRequest, IsStale
from mta.event_log.log import EventLog
from mta.queue.interface import Queue
from mta.smtp.client.dialogue import FailureKind, SessionFailure


class InFlightLog(Protocol):
    """Notes each request before the last octet of its message is sent."""

    def note_in_flight(self, request: DeliveryRequest, *, again: bool = False) -> "Deferred[IsStale | None]":
        """Fire when the note is on disk. Fail with QueueError if it cannot be written; the message is then not sent.

        The result is None if the note never becomes stale. Once it is stale the last octet must not be sent before the
        request is noted `again`, which tells of no possible duplicate.
        """


class QueueInFlightLog:
    """The InFlightLog that keeps the notes in the queue."""

    def __init__(self, queue: Queue, event_log: EventLog) -> None:
        self._queue = queue
        self._event_log = event_log

    def note_in_flight(self, request: DeliveryRequest, *, again: bool = False) -> "Deferred[IsStale | None]":
        """Note the recipients; log a possible duplicate for each that was noted before and may have a copy."""
        noting = self._queue.note_in_flight(request.id, [pending.index for pending in request.recipients])
        return noting.addCallback(_told if again else self._noted, request)

    def _noted(self, noted_before: frozenset[int], request: DeliveryRequest) -> None:
        for pending in request.recipients if noted_before else ():
            if pending.index in noted_before and pending.index not in request.unsent:
                self._event_log.possible_duplicate(request.id, pending.recipient.address)


class AgingInFlightLog(QueueInFlightLog):
    """The log of a relay whose mail other relays take over if it stands still: a note becomes stale.

    The relay may be stopped at any moment and go on much later, without noticing it. Its notes stay for the others,
    but they are no leave to send any more.
    """

    def __init__(self, queue: Queue, event_log: EventLog, *, lasts: float, seconds: Callable[[], float]) -> None:
        """A note `lasts` so many seconds of a clock that goes on while this host sleeps."""
        super().__init__(queue, event_log)
        self._lasts = lasts
        self._seconds = seconds

    def note_in_flight(self, request: DeliveryRequest, *, again: bool = False) -> "Deferred[IsStale | None]":
        """Note the recipients, and again until the answer comes before the note is stale."""
        end = self._seconds() + self._lasts
        return super().note_in_flight(request, again=again).addCallback(self._fresh, request, end)

    def _fresh(self, _: object, request: DeliveryRequest, end: float) -> "IsStale | Deferred[IsStale | None]":
        def is_stale() -> bool:
            return self._seconds() >= end

        return self.note_in_flight(request, again=True) if is_stale() else is_stale


def _told(_: frozenset[int], __: DeliveryRequest) -> None:
    """Tell of no duplicate, because the first note of the same attempt told of all."""


def not_noted(failure: Failure) -> SessionFailure:
    """Return the reason to give for a message that is not sent because its note could not be written.

    Sending it anyway could not be told from a duplicate after a crash.
    """
    text = f"not sent, because the queue cannot note it: {failure.getErrorMessage()}"
    return SessionFailure(FailureKind.LOCAL, "4.3.0", text)
