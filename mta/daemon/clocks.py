"""The two clocks of the relay: timers use the monotonic clock, due times and ages of messages the wall clock.

Twisted's timers use the wall clock. If that were set back, all timers would stop for the same span of time; if it were
set forward, all would fire at once, so that deadlines were missed or sessions were cut short.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from mta.event_log.log import EventLog

#: Seconds between two checks.
CHECK_INTERVAL = 5.0
#: Returns monotonic seconds that go on while this host sleeps.
seconds_since_boot: Callable[[], float] = partial(time.clock_gettime, time.CLOCK_BOOTTIME)
# Seconds of change in one round that neither drift nor a busy machine explains.
_MIN_CHANGE = 2.0


class ClockWatch:
    """Detects that the wall clock was set, by comparison with the monotonic clock. Call `look` periodically.

    After the clock was set back by a day, a message that is due in an hour would wait a day longer, so `make_all_due`
    must make every message due now. After it was set forward, `wake` must look for messages that became due. That is
    enough although the messages are older now, because a message is tried once more before it is given up.
    """

    def __init__(
        self,
        *,
        wall_clock: Callable[[], float],
        monotonic: Callable[[], float],
        make_all_due: Callable[[], object],
        wake: Callable[[], object],
        event_log: EventLog,
    ) -> None:
        self._wall_clock = wall_clock
        self._monotonic = monotonic
        self._make_all_due = make_all_due
        self._wake = wake
        self._event_log = event_log
        self._ahead = wall_clock() - monotonic()

    def look(self) -> None:
        """React if the wall clock was set since the last call."""
        before, self._ahead = self._ahead, self._wall_clock() - self._monotonic()
        moved = self._ahead - before
        if moved <= -_MIN_CHANGE:
            self._event_log.notice(f"the clock was set back by {-moved:.0f} s: all mail that waits is tried now")
            self._make_all_due()
        elif moved >= _MIN_CHANGE:
            self._event_log.notice(f"the clock went forward by {moved:.0f} s: it was set, or this host slept")
            self._wake()


def use_monotonic_timers(reactor: Any) -> None:
    """Switch all timers of a reactor that does not run yet to the monotonic clock, including those already set."""
    difference = time.monotonic() - reactor.seconds()
    for call in reactor.getDelayedCalls():
        call.time += difference
        call.seconds = time.monotonic
    reactor.seconds = time.monotonic
