"""Starts the transactions of a destination by its pace, and chooses when mail beyond the pace comes again.

Mail that has to wait for a short time waits in memory. Mail that would wait longer is given back to the queue, each
message with a time of its own, so that the messages do not come back together.
"""

import math
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall

from mta.delivery.context import DeliveryContext
from mta.delivery.destinations.window import LimitRefusal, SendWindow
from mta.delivery.replies.throttle_table import LimitKind
from mta.message.outcome import TryLater

#: Seconds that a message may wait in memory for the pace.
MEMORY_SECONDS = 60.0
#: Seconds after which a message that was given back comes again at the latest, because the pace may have risen.
LONGEST_RETURN = 300.0
# The fraction of the golden ratio: multiples of it, modulo 1, are spread evenly however many there are.
_GOLDEN = 0.618034


class Pacer:
    """Asks the window of a destination when a transaction may begin, and schedules its groups again at that time."""

    def __init__(
        self,
        name: str,
        window: SendWindow,
        schedule: Callable[[], object],
        context: DeliveryContext,
    ) -> None:
        """`schedule` is called when a transaction may begin that might not before."""
        self._name = name
        self._window = window
        self._schedule = schedule
        self._clock = context.clock
        self._wall_clock = context.wall_clock
        self._event_log = context.event_log
        self._timer: IDelayedCall | None = None
        self._last_next_try = 0.0
        self._spread = 0.0
        #: Whether the log says that the destination throttles.
        self.told = False
        #: The last reply that told of a limit.
        self.reply: TryLater | None = None

    @property
    def holding(self) -> bool:
        """Whether the time at which the next transaction may begin is known and yet to come."""
        return self._timer is not None

    @property
    def reason(self) -> TryLater:
        """The outcome of a message that could not be tried in time because of the pace."""
        last = self.reply or TryLater("the destination throttles", status="4.7.0")
        return TryLater(f"waits for the pace of {self._name}, which said: {last.text}", last.host, last.status)

    def may_start(self) -> bool:
        """Whether the pace lets a transaction begin now; if not, the groups are scheduled again when it does."""
        now = self._wall_clock()
        at = self._window.next_start(now)
        if at <= now:
            return True
        if at < math.inf:
            self._wait(at - now)
        return False

    def started(self) -> float:
        """Note that a transaction begins now; return the wall-clock time."""
        now = self._wall_clock()
        self._window.started(now)
        return now

    def refused(self, refusal: LimitRefusal, reply: TryLater) -> None:
        """Take a refusal because of a limit."""
        now = self._wall_clock()
        self.reply = reply
        self._window.refused(now, refusal)
        if not self.told:
            self.told = True
            rate = self._window.rate(now)
            self._event_log.destination_throttled(
                self._name,
                reply.text,
                rate_words(rate) if self._window.paced else None,
                refusal.others if refusal.kind is LimitKind.CONNECTIONS else None,
                self._window.starts_at(now, 0),
            )

    def answered(self) -> None:
        """Log that the destination no longer throttles, if that is so."""
        if not self._window.throttled:
            self.told = False
            self._event_log.destination_unthrottled(self._name)

    def places(self) -> int:
        """Return how many messages may wait in memory."""
        now = self._wall_clock()
        until_first = self._window.starts_at(now, 0) - now
        return (
            max(0, math.ceil((MEMORY_SECONDS - until_first) * self._window.rate(now)))
            if until_first <= MEMORY_SECONDS
            else 0
        )

    def next_try(self, waiting: int) -> float:
        """Return when a message is to come again, wall-clock seconds, while so many groups wait in memory."""
        now = self._wall_clock()
        step = 1 / self._window.rate(now)
        first = self._window.starts_at(now, waiting)
        next_try = max(self._last_next_try + step, first)
        if next_try <= now + LONGEST_RETURN:
            self._last_next_try = next_try
            return next_try
        # Later mail comes back before its turn, because the pace may rise, and spread out, so that few come together.
        self._spread = (self._spread + _GOLDEN) % 1.0
        return now + LONGEST_RETURN * (1 + self._spread) / 2

    def close(self) -> None:
        """Cancel the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, seconds: float) -> None:
        timer = self._timer
        if timer is None:
            self._timer = self._clock.callLater(seconds, self._fire)
        elif abs(timer.getTime() - self._clock.seconds() - seconds) > 0.001:
            timer.reset(seconds)

    def _fire(self) -> None:
        self._timer = None
        self._schedule()


def rate_words(rate: float) -> str:
    """Return a pace in the unit that an operator would use."""
    for unit, seconds in (("a second", 1.0), ("a minute", 60.0), ("an hour", 3600.0)):
        if rate * seconds >= 1:
            return f"{rate * seconds:.3g} {unit}"
    return f"{rate * 86400:.3g} a day"
