"""Asks the queue for its figures, seldom enough that scrapes do not delay mail."""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from mta.metrics.gauges import queue_samples
from mta.metrics.metric import Samples
from mta.queue.interface import Load, QueueError, Space, Summary

#: Seconds for which figures are kept, and how many times as long as the reading took: a long history takes longer to
#: count, and so is counted more seldom.
KEPT_SECONDS = 5.0
KEPT_FACTOR = 20.0
#: Seconds that a scrape waits for the queue; after that it has no figures of the queue.
PATIENCE = 3.0


class CountedQueue(Protocol):
    """The questions to a queue; `mta.queue.interface.Queue` has the contract of the others."""

    def summary(self) -> "Deferred[Summary]":
        """Return the counts of messages and recipients."""

    def load(self, now: float) -> "Deferred[Load]":
        """Return the messages that are due now, and the octets of all that wait."""

    def space(self) -> "Deferred[Space]":
        """Return the room for mail."""


class QueueFigures:
    """Reads the figures of a queue, once for all scrapes that ask meanwhile."""

    def __init__(self, queue: CountedQueue, clock: IReactorTime, wall_clock: Callable[[], float]) -> None:
        self._queue = queue
        self._clock = clock
        self._wall_clock = wall_clock
        self._samples: Samples = {}
        self._kept_until = float("-inf")
        self._reading = False
        self._waiting: list[Deferred[None]] = []

    async def samples(self) -> Samples:
        """Return the figures, which are empty if the queue cannot be read in time."""
        if self._clock.seconds() >= self._kept_until:
            ready: Deferred[None] = Deferred()
            self._waiting.append(ready)
            patience = self._clock.callLater(PATIENCE, self._give_up, ready)
            if not self._reading:
                self._reading = True
                Deferred.fromCoroutine(self._read())
            await ready
            if patience.active():
                patience.cancel()
        return self._samples

    async def _read(self) -> None:
        began = self._clock.seconds()
        try:
            summary, space = await self._queue.summary(), await self._queue.space()
            load = await self._queue.load(self._wall_clock())
        except QueueError:
            self._samples = {}
        else:
            seconds = self._clock.seconds() - began
            self._samples = queue_samples(summary, load, space, self._wall_clock(), seconds)
        now = self._clock.seconds()
        self._kept_until = now + max(KEPT_SECONDS, KEPT_FACTOR * (now - began))
        self._reading = False
        waiting, self._waiting = self._waiting, []
        for ready in waiting:
            ready.callback(None)

    def _give_up(self, ready: "Deferred[None]") -> None:
        if ready in self._waiting:
            self._waiting.remove(ready)
            self._samples = {}
            ready.callback(None)
