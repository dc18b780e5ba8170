"""Shares the counts of `[[acl]]` rates: each worker tells its numbers to the parent, which passes them to the others.

The numbers of a few milliseconds travel together, so that a client that divides its mail between workers can send a
little more than its rate in that time. A worker that starts is told all that the others have counted.
"""

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from mta.delivery.rates.broker import SendTo
from mta.delivery.rates.leave import Send
from mta.rate import Rate, RateUnit
from mta.rate_counts import Counted, RateCounts

#: The verb for mail that was accepted now, in both directions, and the one for all that a new worker must know.
COUNTED, KNOWN = "counted", "known"
#: Seconds for which numbers are collected.
DELAY = 0.005


class SharedCounts:
    """The counts of one worker."""

    def __init__(self, clock: Any, send: Send) -> None:
        """`clock` is a reactor with monotonic time."""
        self._clock = clock
        self._send = send
        self._numbers: dict[Counted, int] = {}
        self._timer: IDelayedCall | None = None
        #: The mail that was accepted in all workers.
        self.counts = RateCounts(clock.seconds, self._tell)

    def handlers(self) -> dict[str, Callable[..., object]]:
        """Return the handlers for the channel, by verb."""
        return {COUNTED: self._told, KNOWN: self._know}

    def close(self) -> None:
        """Send the numbers that are collected."""
        if self._timer is not None:
            self._timer.cancel()
            self._flush()

    def _tell(self, counted: Counted, number: int) -> None:
        self._numbers[counted] = self._numbers.get(counted, 0) + number
        if self._timer is None:
            self._timer = self._clock.callLater(DELAY, self._flush)

    def _flush(self) -> None:
        self._timer = None
        numbers, self._numbers = self._numbers, {}
        for counted, number in numbers.items():
            self._send(COUNTED, *_words(counted), number)

    def _told(self, *words: Any) -> None:
        *key, number = words
        self.counts.add(_counted(*key), number)

    def _know(self, *words: Any) -> None:
        *key, ages = words
        self.counts.restore(_counted(*key), ages)


class CountsBroker:
    """The counts of all workers in their parent."""

    def __init__(self, seconds: Callable[[], float], send: SendTo) -> None:
        self._send = send
        self._counts = RateCounts(seconds)

    def counted(self, others: Iterable[int], *words: Any) -> None:
        """Take the number that a worker has counted, and pass it to other workers."""
        *key, number = words
        self._counts.add(_counted(*key), number)
        for worker in others:
            self._send(worker, COUNTED, *words)

    def started(self, worker: int) -> None:
        """Tell all that is known to a worker that has started."""
        for counted, ages in self._counts.dump():
            self._send(worker, KNOWN, *_words(counted), ages)


def _words(counted: Counted) -> tuple[str | int, ...]:
    rate = counted.rate
    return counted.rule, counted.subject, rate.count, rate.seconds, rate.unit.value


def _counted(*words: Any) -> Counted:
    rule, subject, count, seconds, unit = words
    return Counted(rule, Rate(count, seconds, RateUnit(unit)), subject)
