"""Shares the counts of `[[acl]]` rates: each worker tells its numbers to the parent, which passes them to the others.

The numbers of a few milliseconds travel together, so that a client that divides its mail between workers can send a
little more than its rate in that time. A worker that starts knows nothing of the mail before.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from mta.delivery.rates.leave import Send
from mta.rate import Rate, RateUnit
from mta.rate_counts import Counted, RateCounts

#: The verb of the channel, in both directions.
COUNTED = "counted"
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
        return {COUNTED: self._told}

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
            rate = counted.rate
            self._send(COUNTED, counted.rule, counted.subject, rate.count, rate.seconds, rate.unit.value, number)

    def _told(self, rule: str, subject: str, *words: Any) -> None:
        count, seconds, unit, number = words
        self.counts.add(Counted(rule, Rate(count, seconds, RateUnit(unit)), subject), number)
