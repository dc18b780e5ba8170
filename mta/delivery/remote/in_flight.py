"""Notes on disk which recipients a message is about to be sent to.

After a crash the notes tell which recipients may get a second copy. They stay until the recipients are settled.
"""

from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from mta.delivery.remote.interface import DeliveryRequest
from mta.event_log.log import EventLog
from mta.queue.interface import Queue
from mta.smtp.client.dialogue import FailureKind, SessionFailure


class InFlightLog(Protocol):
    """Notes each request before the last octet of its message is sent."""

    def note_in_flight(self, request: DeliveryRequest) -> "Deferred[object]":
        """Fire when the note is on disk. Fail with QueueError if it cannot be written; the message is then not sent."""


class QueueInFlightLog:
    """The InFlightLog that keeps the notes in the queue."""

    def __init__(self, queue: Queue, event_log: EventLog) -> None:
        self._queue = queue
        self._event_log = event_log

    def note_in_flight(self, request: DeliveryRequest) -> "Deferred[object]":
        """Note the recipients; log a possible duplicate for each that was noted before and may have a copy."""
        noting = self._queue.note_in_flight(request.id, [pending.index for pending in request.recipients])
        return noting.addCallback(self._noted, request)

    def _noted(self, noted_before: frozenset[int], request: DeliveryRequest) -> None:
        for pending in request.recipients if noted_before else ():
            if pending.index in noted_before and pending.index not in request.unsent:
                self._event_log.possible_duplicate(request.id, pending.recipient.address)


def not_noted(failure: Failure) -> SessionFailure:
    """Return the reason to give for a message that is not sent because its note could not be written.

    Sending it anyway could not be told from a duplicate after a crash.
    """
    text = f"not sent, because the queue cannot note it: {failure.getErrorMessage()}"
    return SessionFailure(FailureKind.LOCAL, "4.3.0", text)
