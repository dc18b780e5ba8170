"""Notes on disk what is about to be sent, so that after a crash it is known what may arrive a second time."""

from typing import Protocol

from twisted.internet.defer import Deferred

from mta.delivery.remote.interface import DeliveryRequest
from mta.event_log.log import EventLog
from mta.queue.interface import Queue


class InFlightLog(Protocol):
    """Is asked before the last octet of a parcel is sent."""

    def __call__(self, parcel: DeliveryRequest) -> "Deferred[object]":
        """Fire when the note is on disk; fail with QueueError when it cannot be, and then nothing is to be sent."""


class QueueInFlightLog:
    """The Mark that is kept in the queue."""

    def __init__(self, queue: Queue, event_log: EventLog) -> None:
        self._queue = queue
        self._event_log = event_log

    def __call__(self, parcel: DeliveryRequest) -> "Deferred[object]":
        """Note it; what was noted before and never settled is told to the operator, unless it was never sent."""
        marking = self._queue.note_in_flight(parcel.id, [pending.index for pending in parcel.recipients])
        return marking.addCallback(self._marked, parcel)

    def _marked(self, again: frozenset[int], parcel: DeliveryRequest) -> None:
        for pending in parcel.recipients if again else ():
            if pending.index in again and pending.index not in parcel.unsent:
                self._event_log.possible_duplicate(parcel.id, pending.recipient.address)
